"""The least time that a machine could take for a window: ``python -m benchmarks.roofline``."""
