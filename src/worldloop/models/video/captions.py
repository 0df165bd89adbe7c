"""Captions as hashed phrases: a set of numbers that says which words stand in which phrase."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

LONGEST = 512
"""Numbers kept of one caption."""


def caption_ids(caption: str, buckets: int) -> list[int]:
    """Hashes in 1..buckets-1 of the caption's words and pairs of words.

    Phrases end at a full stop, comma or semicolon. Each word and pair counts twice: together with the number
    of its phrase, because the order of motions matters, and alone. The same everywhere, for ever.
    """
    ids: dict[int, None] = {}
    for number, phrase in enumerate(re.split(r"[.,;](?:\s+|$)", caption.lower())):
        words = re.findall(r"[^\s'\"\[\]:]+", phrase)
        for gram in words + [f"{a} {b}" for a, b in pairwise(words)]:
            for text in (f"{number}|{gram}", f"|{gram}"):
                ids[_bucket(text, buckets)] = None
    return list(ids)[:LONGEST]


def caption_batch(captions: Sequence[str], buckets: int) -> Tensor:
    """int64 [B,K] of `caption_ids`, filled with 0 at the end; K is at least 1."""
    rows = [caption_ids(c, buckets) for c in captions]
    out = torch.zeros(len(rows), max([1, *map(len, rows)]), dtype=torch.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return out


def _bucket(text: str, buckets: int) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % (buckets - 1)
