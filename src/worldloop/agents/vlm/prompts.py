"""Prompts are text files with a header: what they are built after, and which version they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from worldloop.agents.vlm.pictures import Picture
from worldloop.core import InputError

Part = str | Picture
Message = tuple[str, tuple[Part, ...]]
"""Role (`system`, `user`, `assistant`) and content."""
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Prompt:
    """One prompt file: `key: value` lines, `---`, then `[system]` and `[user]` sections with {{slots}}."""

    name: str
    version: str
    source: str
    digest: str
    """16 hex digits over the whole file."""
    sections: tuple[tuple[str, str], ...]

    @property
    def slots(self) -> frozenset[str]:
        """Names that must be filled."""
        return frozenset(_SLOT.findall("".join(text for _, text in self.sections)))

    def fill(self, values: Mapping[str, str | Sequence[Part]]) -> list[Message]:
        """The messages. A value is a text or a list of texts and pictures; every slot must have one."""
        if missing := self.slots - set(values):
            raise InputError(f"prompt {self.name!r} lacks {', '.join(sorted(missing))}")
        return [(role, tuple(_filled(text, values))) for role, text in self.sections]


def _filled(text: str, values: Mapping[str, str | Sequence[Part]]) -> list[Part]:
    parts: list[Part] = []
    for i, piece in enumerate(_SLOT.split(text)):
        value = piece if i % 2 == 0 else values[piece]
        for part in [value] if isinstance(value, str) else value:
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
    return [p for p in parts if p != ""]


def parse_prompt(name: str, text: str) -> Prompt:
    """A prompt from the text of its file; InputError when the header or a section is missing."""
    head, rule, body = text.partition("\n---\n")
    header = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    pieces = re.split(r"^\[(system|user)\]\n", body, flags=re.MULTILINE)
    sections = tuple((role, said.strip()) for role, said in zip(pieces[1::2], pieces[2::2]))
    if not rule or not {"version", "source"} <= set(header) or not sections or pieces[0].strip():
        raise InputError(
            f"prompt {name!r} needs a header with version and source, a line ---, [system] and [user]"
        )
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return Prompt(name, header["version"], header["source"], digest, sections)


@cache
def prompt(name: str) -> Prompt:
    """A shipped prompt: `propose`, `revise`, `answer` or `judge`."""
    text = resources.files(__package__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    return parse_prompt(name, text)


def identity(names: Sequence[str]) -> dict[str, str]:
    """Name -> `VERSION DIGEST` of prompts, for a run's identity."""
    return {n: f"{prompt(n).version} {prompt(n).digest}" for n in names}
