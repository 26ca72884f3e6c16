"""Which addresses belong to the public internet. What is not known to, does not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# IANA's special-purpose registries and more, written out: what `is_global` covers differs between Pythons.
_CLOSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this host"; Linux connects it to the loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' and Kubernetes' inside; 100.100.100.200 is Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: a public address that each machine there has at its side
        "169.254.0.0/16",  # link-local, and nearly everybody's metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # 192.0.0.192 is Oracle's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
"""All that is assigned as global unicast; fd00:ec2::254, Amazon's metadata, is outside."""
_CLOSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them: a way to a v4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4: another one
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an interface's id, where the lower one is a v4 address."""


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read one address; a v4 address written as v6 is the v4 one. None for what has a zone, or is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    return address.ipv4_mapped or address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether anybody on the internet could connect to it, wherever this program runs."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4) and address.is_global
    if address in _NAT64:  # what names without a v6 address resolve to on networks that have nothing else
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _PUBLIC_V6 or any(address in network for network in _CLOSED_V6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP and address.is_global
