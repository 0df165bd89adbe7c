"""What files hold, in a few digits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from worldloop.core import InputError


def digest_files(files: Iterable[Path]) -> str:
    """32 hex digits over names and content of files, in order; InputError for one that cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        try:
            with path.open("rb") as data:
                content = hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        digest.update(f"{path.name}:".encode() + content.digest())
    return digest.hexdigest()
