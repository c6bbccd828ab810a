"""Load is sent to this machine only."""

import ipaddress
from urllib.parse import urlsplit


class NotLoopbackError(ValueError):
    """An address of another machine. The message is one line."""


def loopback(url: str) -> str:
    """`url` itself, once it is known to name this machine.

    Raises:
        NotLoopbackError: it names another one, or a name that would have to be looked up.
    """
    host = urlsplit(url).hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotLoopbackError(f"{host!r} in {url} is no loopback address: nothing is sent there")
    return url
