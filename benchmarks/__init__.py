"""How fast slidecell is, beside its peers, in one run: ``python -m benchmarks``."""
