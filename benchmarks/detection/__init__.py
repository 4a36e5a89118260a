"""Detectors on labelled series: the command is ``python -m benchmarks.detection``."""
