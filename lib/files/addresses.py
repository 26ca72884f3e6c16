"""Tells public addresses of the internet from all others. In doubt an address is not public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# IANA's special-purpose registries and more, written out: the ranges of `is_global` differ between Pythons.
_CLOSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this host": Linux connects it to the loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers and Kubernetes; 100.100.100.200 is Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: a public address that each machine there reaches
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # 192.0.0.192 is Oracle's metadata service
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
"""IANA assigns global unicast addresses from here. Amazon's metadata service, fd00:ec2::254, is outside."""
_CLOSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, with Teredo: a way to a v4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4: another way to a v4 address
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""If the upper half of an interface id is one of these, the lower half is a v4 address (RFC 5214)."""


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read one address; `::ffff:1.2.3.4` is 1.2.3.4. Other text, and an address with a zone, give None."""
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
    """Tell whether the address means the same host for every machine on the internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4) and address.is_global
    if address in _NAT64:  # a v6-only network resolves v4 hosts to this range (RFC 6052)
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _PUBLIC_V6 or any(address in network for network in _CLOSED_V6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP and address.is_global
