"""Measure how fast scores are on this machine, beside the peers that are installed.

The command ``slidecell bench``, and what the repository's own benchmarks share with it: cases and
their truth (`jobs`, `cases`), who takes part (`contestants`, `peers`), measuring (`measure`) and
telling (`report`). It needs numpy alone; torch, ONNX Runtime and OpenVINO take part if installed.
"""
