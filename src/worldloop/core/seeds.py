"""Seeds by derivation: every random draw is named, so no result depends on order, batching or resume."""

from __future__ import annotations

import hashlib

import numpy as np

SeedPart = str | int | bytes


def derive_seed(*parts: SeedPart) -> int:
    """A 63-bit seed that depends on every part, its type and its position.

    Typical parts: run seed, episode id, decision index, candidate index, purpose.
    """
    pieces: list[bytes] = []
    for part in parts:
        if isinstance(part, str):
            tag, data = b"s", part.encode()
        elif isinstance(part, int) and not isinstance(part, bool):
            tag, data = b"i", str(part).encode()
        elif isinstance(part, bytes):
            tag, data = b"b", part
        else:
            raise TypeError(f"seed parts are str, int or bytes, not {type(part).__name__}")
        pieces += (tag, len(data).to_bytes(4, "little"), data)
    return int.from_bytes(hashlib.blake2b(b"".join(pieces), digest_size=8).digest(), "little") >> 1


def generator(*parts: SeedPart) -> np.random.Generator:
    """A fresh numpy generator seeded with `derive_seed(*parts)`."""
    return np.random.default_rng(derive_seed(*parts))
