"""Which network addresses are the public internet; all others may be the operator's own."""

import ipaddress

_TRANSLATED = tuple(
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)
"""IPv6 that carries an IPv4 address for a gateway to unpack."""


def is_public(address: str) -> bool:
    """Whether a server may open a connection there because a stranger asked for it.

    Private, loopback, link-local, shared (CGNAT), multicast, reserved and documentation addresses
    are not public, nor is IPv6 that stands for an IPv4 address (mapped, 6to4, Teredo, NAT64).

    Raises:
        ValueError: no numeric address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        tunnelled = found.ipv4_mapped or found.sixtofour or found.teredo
        if tunnelled or any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
