"""The command ``slidecell``: it parses, calls and prints; the work is done elsewhere."""
