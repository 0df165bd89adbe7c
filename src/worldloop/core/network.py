"""Where an address leads."""

from __future__ import annotations

import ipaddress
import urllib.parse


def loopback(host: str) -> bool:
    """Whether the name or address of a host is of this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_the_clear(url: str) -> bool:
    """Whether what goes to a URL leaves this machine unencrypted."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme != "https" and not loopback(parts.hostname or "")
