"""Where an address leads, and when a server wants to be asked again."""

from __future__ import annotations

import ipaddress
import math
import urllib.parse
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from worldloop.core.errors import InputError


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


def check_url(url: str, what: str) -> None:
    """InputError, beginning with `what`, for an address that cannot be used, or that has a secret in it (not shown)."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InputError(f"{what} looks like http://HOST:PORT/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{what} has no user, password, query or fragment; a key is given in the environment "
            "variable that key_env names"
        )


def retry_after(value: str | None) -> float | None:
    """Seconds that a header `Retry-After` asks for, from a number or a date; None for anything else."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
