"""Tests of slidecell, and what several of them share."""
