"""Keys of servers: read from the environment, sent in a header, and masked in everything else."""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from worldloop.core.errors import InputError
from worldloop.core.network import in_the_clear

MASK = "[key]"
SHORTEST = 8


class Secret:
    """A key that does not show itself; the empty one changes nothing."""

    __slots__ = ("_forms", "_key")

    def __init__(self, key: str = "") -> None:
        """InputError, without the key in it, for what cannot be one."""
        if key and (len(key) < SHORTEST or not re.fullmatch(r"[!-~]+", key)):
            raise InputError(
                f"a key has at least {SHORTEST} visible ASCII characters and no spaces; a server that needs none "
                "gets none with key_env= (nothing after the equals sign)"
            )
        self._key = key
        quoted = json.dumps(key)[1:-1]
        forms = {
            key,
            urllib.parse.quote(key, safe=""),
            quoted,
            json.dumps(quoted)[1:-1],
            quoted.replace("/", "\\/"),
        }
        # In the base64 of a longer text the key starts at one of three phases; only characters that are made
        # of nothing but its bits can be searched for.
        for phase in range(3):
            coded = base64.b64encode(b"\0" * phase + key.encode()).decode()
            forms.add(coded[-(-phase * 4 // 3) : (phase + len(key)) * 4 // 3])
        self._forms = sorted((f for f in forms if f and key), key=len, reverse=True)

    @classmethod
    def named(cls, variable: str, url: str, options: Iterable[Any], who: str) -> Secret:
        """The key in an environment variable, if that is named and set.

        InputError, beginning with `who`, when it would go out unencrypted to another machine at `url`, or stands in one
        of the options.
        """
        key = os.environ.get(variable, "").strip() if variable else ""
        secret = cls(key)
        if key and in_the_clear(url):
            raise InputError(
                f"the key of {variable} would go to another machine unencrypted; use https, or key_env= to send none"
            )
        if key and any(key in str(v) for v in options):
            raise InputError(f"an option of {who} holds the key of {variable}; take it out")
        return secret

    def __bool__(self) -> bool:
        return bool(self._key)

    def filled_in(self, text: str, mark: str) -> str:
        """A header's text with the key in place of a mark."""
        return text.replace(mark, self._key)

    @property
    def headers(self) -> dict[str, str]:
        """The header that the key usually goes out in."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def redact(self, text: str) -> str:
        """The text with the key masked, plain or percent-, JSON- or base64-coded."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def redact_json(self, value: Any) -> Any:
        """A JSON value with the key masked in all its strings.

        Token log-probabilities would spell out in pieces what is masked in the text: they go with it.
        """
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_json(v) for v in value]
        if isinstance(value, dict):
            masked = {self.redact(k): self.redact_json(v) for k, v in value.items()}
            if masked.get("message") != value.get("message"):
                masked.pop("logprobs", None)
            return masked
        return value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not stored")
