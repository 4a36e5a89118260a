"""The names of `slidecell.thresholds`, where version 0.1 had them."""

from slidecell.thresholds import *  # noqa: F403
from slidecell.thresholds import __all__  # noqa: F401
