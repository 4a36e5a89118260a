"""Ports that a live run serves on: opened before anything else, with an error that says why not."""

from __future__ import annotations

import errno
import ipaddress
import socket

__all__ = ["LOOPBACK", "is_loopback", "open_port", "url_of"]

LOOPBACK = "127.0.0.1"

_REASONS = {
    errno.EADDRINUSE: "the port is in use; choose another, or 0 for a free one",
    errno.EACCES: "no permission; ports below 1024 are often for the administrator alone",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def open_port(option: str, port: int, address: str = LOOPBACK) -> socket.socket:
    """Return a socket that listens; clients may connect at once and are served later.

    Parameters
    ----------
    option : str
        The option that names the port, for errors.
    port : int
        0 for a free one.
    address : str
        Of this machine, or a name of it; 0.0.0.0 or :: for all.

    Raises
    ------
    OSError
        If the port cannot be had; the text names the option, the address and the port.

    Examples
    --------
    >>> from slidecell.live.web.sockets import open_port, url_of
    >>> with open_port("--metrics", 0) as one:
    ...     url_of(one).rpartition(":")[0]
    'http://127.0.0.1'
    """
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.create_server((address, port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        code = getattr(error, "errno", None)
        why = _REASONS.get(code or 0) or getattr(error, "strerror", None) or str(error)
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if isinstance(error, socket.gaierror) or code is None:
            raise OSError(f"--bind {address}: {why}") from None
        raise OSError(f"{option}: cannot listen on {where}: {why}") from None
    found.setblocking(False)
    return found


def url_of(listening: socket.socket) -> str:
    """Return the address of a socket as a browser takes it, without a slash at the end."""
    address, port = listening.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether only this machine can reach a socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback
