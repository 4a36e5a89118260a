"""Cycles of the kernels, counted from their instructions."""
