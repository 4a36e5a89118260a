"""Latency of steps and streams, in C++ and through Python."""
