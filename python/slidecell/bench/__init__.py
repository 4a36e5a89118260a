"""Measure how fast scores are on this machine, beside the peers that are installed.

The command ``slidecell bench``, and what the repository's own benchmarks share with it: cases,
their data and truth (`cases`, `workloads`), who takes part (`contestants`, `peers`), the timer
(`timer`), contests (`measure`, `run`), conditions of a run (`conditions`), tables (`report`) and
progress (`progress`). It needs numpy alone; torch, ONNX Runtime and OpenVINO take part if
installed.
"""
