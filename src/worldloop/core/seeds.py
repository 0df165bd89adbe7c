"""Seeds by derivation: every random draw is named, so no result depends on order, batching or resume."""

from __future__ import annotations

import hashlib

import numpy as np

SeedPart = str | int | bytes


def derive_seed(*parts: SeedPart) -> int:
    """A 63-bit seed that depends on every part, its type and its position.

    Typical parts: run seed, episode id, decision index, candidate index, purpose.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int | bytes):
            raise TypeError(f"seed parts are str, int or bytes, not {type(part).__name__}")
        tag = {str: b"s", int: b"i", bytes: b"b"}[str if isinstance(part, str) else type(part)]
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(tag + len(data).to_bytes(4, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> 1


def generator(*parts: SeedPart) -> np.random.Generator:
    """A fresh numpy generator seeded with `derive_seed(*parts)`."""
    return np.random.default_rng(derive_seed(*parts))
