"""Conversion of torch modules to models; it needs torch."""

from __future__ import annotations

from slidecell._extras import require

require("torch", extra="train")

from slidecell.convert.interfaces import RecurrentLayer, SequenceNetwork  # noqa: E402
from slidecell.convert.torch_modules import check_against, to_metadata  # noqa: E402

__all__ = ["RecurrentLayer", "SequenceNetwork", "check_against", "to_metadata"]
