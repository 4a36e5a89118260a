"""Waits for files, pipes and sockets alike."""

from __future__ import annotations

import selectors

__all__ = ["Selector"]

# poll takes regular files, which epoll refuses, and descriptors beyond 1,023, which select refuses.
Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)
