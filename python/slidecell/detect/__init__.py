"""Anomaly detection from files: read, split, scale, train, score, report."""
