"""The names of `slidecell.thresholds.smoothing`, where version 0.1 had them."""

from slidecell.thresholds.smoothing import *  # noqa: F403
from slidecell.thresholds.smoothing import __all__  # noqa: F401
