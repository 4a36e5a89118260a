"""Streams of detectors: live rows in, the scores of `Detector.score_samples` out."""

from __future__ import annotations

from slidecell.detect.streams.base import DetectorStream

__all__ = ["DetectorStream"]
