"""Settings of the language-model agent: what the result depends on, and how the server is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from worldloop.core import InputError
from worldloop.core.network import check_url
from worldloop.core.numbers import finite

STRUCTURED = ("schema", "object", "none")
FAILURES = ("crash", "continue")
REACHING = ("base_url", "key_env", "timeout", "retries", "retry_after_cap", "max_reply_bytes", "rpm", "lanes")
"""Fields that say how the server is reached; a run may be resumed with others."""


@dataclass(frozen=True)
class VlmConfig:
    """One agent. Everything but the fields in `REACHING` is part of a run's identity."""

    base_url: str = ""
    """Address up to and with `/v1`, such as http://127.0.0.1:8000/v1; no key, user or query in it."""
    model: str = ""
    """Name of the model, as the server knows it."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; empty sends none."""
    timeout: float = 120.0
    """Seconds for one request in all, however slowly the reply drips."""
    retries: int = 4
    """Further attempts after a transport error, a time-out, a 5xx or a 429."""
    retry_after_cap: float = 60.0
    """Seconds; a server that asks for a longer pause is asked again after this one."""
    max_reply_bytes: int = 2_000_000
    """A longer reply is cut off and counts as an error."""
    rpm: float = 0.0
    """Requests a minute; 0 sets no limit."""
    lanes: int = 4
    """Requests in flight."""

    temperature: float | None = 0.0
    """None leaves it to the server."""
    max_tokens: int = 600
    """Tokens of one reply."""
    token_field: str = "max_tokens"
    """What the server calls that limit; newer OpenAI models say max_completion_tokens."""
    structured: str = "schema"
    """How a reply's form is enforced: `schema` (response_format json_schema), `object` (json_object) or `none`
    (by the prompt alone). Every reply is checked here, whatever the server promises."""
    logprobs: bool = True
    """Ask for token probabilities, from which an answer's confidence is read."""
    reask: int = 2
    """How often an unusable reply is asked again, with what is wrong with it."""
    on_failure: str = "crash"
    """When replies stay unusable: `crash` ends the episode as a failure; `continue` takes random plans, the first
    proposal or no answer, and says so in the decision. A server that fails always ends the episode."""
    images: bool = True
    """False sends words alone, for language models without eyes."""
    panorama: bool = False
    """Show the panorama of the present place too."""
    past_views: int = 2
    """Earlier real views that are shown."""
    frames_per_plan: int = 3
    """Imagined frames of each plan that are shown, evenly spaced and with the last one."""
    max_side: int = 512
    """Pixels; larger pictures are reduced."""
    image_format: str = "png"
    """`png` or `jpeg` (quality 90)."""
    max_calls: int = 0
    """Answered requests of one episode; 0 sets no limit, as for the next two."""
    max_episode_tokens: int = 0
    """Tokens of one episode, prompts and replies together."""
    max_cost: float = 0.0
    """Cost of one episode in the currency of the prices."""
    price_in: float = 0.0
    """Price of a million tokens of prompt."""
    price_out: float = 0.0
    """Price of a million tokens of reply."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _typed(field.name, getattr(self, field.name), field.type))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"agent vlm: {name} lies in [{low:g}, {high:g}], got {value:g}")
        for name, known in (
            ("structured", STRUCTURED),
            ("on_failure", FAILURES),
            ("image_format", ("png", "jpeg")),
            ("token_field", ("max_tokens", "max_completion_tokens")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"agent vlm: {name} is one of {', '.join(known)}")
        if self.max_cost and not (self.price_in or self.price_out):
            raise InputError("agent vlm: max_cost needs price_in and price_out, per million tokens")
        if self.base_url:
            check_url(self.base_url, "agent vlm: base_url")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> VlmConfig:
        """A config from options; InputError names an unknown one, but never shows what was given for it."""
        known = [f.name for f in fields(cls)]
        if unknown := [n for n in options if n not in known]:
            hint = "; the key belongs into the environment variable that key_env names" * (
                "key" in unknown[0]
            )
            raise InputError(f"agent vlm has no option {unknown[0]!r}{hint}; it has: {', '.join(known)}")
        return cls(**options)

    def identity(self) -> dict[str, Any]:
        """What a result depends on, JSON-ready."""
        return {k: v for k, v in asdict(self).items() if k not in REACHING}


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("timeout", 0.01, 3600),
    ("retries", 0, 20),
    ("retry_after_cap", 0, 3600),
    ("max_reply_bytes", 1000, 100_000_000),
    ("rpm", 0, 1e6),
    ("lanes", 1, 1000),
    ("temperature", 0, 2),
    ("max_tokens", 1, 1_000_000),
    ("reask", 0, 10),
    ("past_views", 0, 100),
    ("frames_per_plan", 1, 100),
    ("max_side", 16, 8192),
    ("max_calls", 0, 1e9),
    ("max_episode_tokens", 0, 1e12),
    ("max_cost", 0, 1e9),
    ("price_in", 0, 1e9),
    ("price_out", 0, 1e9),
)


def _typed(name: str, value: Any, kind: Any) -> Any:
    """The value in its field's type; a command line writes a model's name 7 as a number."""
    kind = str(kind)
    if value is None and "None" in kind:
        return None
    number = finite(value)
    if kind == "str" and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and number and value == int(value):
        return int(value)
    if kind.startswith("float") and number:
        return float(value)
    raise InputError(f"agent vlm: {name} should be of type {kind}, not {type(value).__name__}")
