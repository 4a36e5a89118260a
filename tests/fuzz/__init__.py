"""Fuzzers: programs in C++ (see CMakeLists.txt) and in Python (``python -m tests.fuzz.folders``)."""
