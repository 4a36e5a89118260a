"""Fuzzers: programs in C++ (CMakeLists.txt) and in Python (``python -m tests.fuzz.folders``)."""
