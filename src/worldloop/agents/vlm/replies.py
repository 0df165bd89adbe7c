"""From a server's reply to a checked object: the completion in it, the JSON in that, and its confidence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from worldloop.core import InputError, ServerError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
STARTS = 50
"""How many opening braces of a reply are tried."""
ENOUGH = 200_000
"""Characters of a reply that are looked at."""


class UnusableError(ServerError):
    """A reply that the model may do better if it is told what is wrong with it."""


class BrokenError(ServerError):
    """What the server sent is no chat completion at all."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request; None where the server does not tell."""

    prompt: int | None
    completion: int | None


@dataclass(frozen=True)
class Completion:
    """The first choice of a chat completion."""

    text: str
    tokens: tuple[tuple[str, float], ...] | None
    """Each token with its log-probability, where the server gives them."""
    refusal: str | None
    cut_off: bool
    """Whether the limit of tokens ended it."""
    usage: Usage


@dataclass(frozen=True)
class Form(Generic[M, T]):
    """What a reply must look like: a pydantic model, an example, and a check of what the model cannot express."""

    model: type[M]
    example: Any
    """JSON-ready; shown in the prompt."""
    check: Callable[[M], T]
    """Raises ValueError or InputError with what is wrong."""

    @property
    def text(self) -> str:
        """The example as the prompt shows it."""
        return json.dumps(self.example)

    def response_format(self, structured: str) -> dict[str, Any] | None:
        """The request's `response_format`, or None for `none`."""
        if structured == "none":
            return None
        if structured == "object":
            return {"type": "json_object"}
        schema = self.model.model_json_schema()
        schema.update(additionalProperties=False, required=list(schema["properties"]))
        return {
            "type": "json_schema",
            "json_schema": {"name": self.model.__name__.lower(), "strict": True, "schema": schema},
        }

    def read(self, completion: Completion) -> T:
        """The checked object; UnusableError says what is wrong with the reply."""
        if completion.refusal is not None:
            raise UnusableError(f"the model refused: {completion.refusal[:200]}")
        data = first_object(completion.text)
        if data is None:
            cut = " (it was cut off by the limit of tokens; be shorter)" if completion.cut_off else ""
            raise UnusableError(f"the reply holds no complete JSON object{cut}")
        try:
            return self.check(self.model.model_validate(data))
        except ValidationError as error:
            said = [f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors()[:4]]
            raise UnusableError("; ".join(said)[:600]) from None
        except (ValueError, InputError) as error:
            raise UnusableError(str(error)[:600]) from None


def first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text, whatever stands around it; None when there is none."""
    text = re.sub(r"<think>.*?</think>", "", text[:ENOUGH], flags=re.DOTALL)
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at = -1
    for _ in range(STARTS):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def completion_of(body: Any) -> Completion:
    """The completion in a server's JSON; BrokenError when it is not one."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content")
        if isinstance(content, list):  # some servers answer in parts
            content = "".join(p.get("text", "") for p in content if isinstance(p, dict))
        refusal = message.get("refusal")
        reason = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BrokenError("the server's reply is no chat completion: it lacks choices[0].message") from None
    if content is not None and not isinstance(content, str):
        raise BrokenError("the server's reply is no chat completion: the content is no text")
    if reason == "content_filter":
        refusal = refusal or "the server's content filter took the reply away"
    return Completion(
        content or "",
        _tokens(choice.get("logprobs")),
        refusal if isinstance(refusal, str) and refusal else None,
        reason == "length",
        usage_of(body),
    )


def usage_of(body: Any) -> Usage:
    """The tokens a server says it has used."""
    usage = body.get("usage") if isinstance(body, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    counts = [usage.get(n) for n in ("prompt_tokens", "completion_tokens")]
    known = [c if isinstance(c, int) and not isinstance(c, bool) and c >= 0 else None for c in counts]
    return Usage(known[0], known[1])


def _tokens(logprobs: Any) -> tuple[tuple[str, float], ...] | None:
    found = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(found, list) or not found:
        return None
    out = []
    for entry in found:
        token, value = (entry.get("token"), entry.get("logprob")) if isinstance(entry, dict) else (None, None)
        if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if math.isnan(value) or value > 1e-3:
            return None
        out.append((token, float(value)))
    return tuple(out)


def token_probability(completion: Completion, name: str) -> float | None:
    """Probability of the tokens that spell the text of a field of the reply's JSON, such as the answer.

    None without log-probabilities, or when their tokens do not add up to the text.
    """
    text, tokens = completion.text, completion.tokens
    found = list(re.finditer(rf'"{re.escape(name)}"\s*:\s*"((?:[^"\\]|\\.)*)"', text))
    if tokens is None or not found:
        return None
    # Some servers end with a token for the end of the text, which is not part of it.
    spelled = "".join(t for t, _ in tokens)
    if not spelled.startswith(text) and spelled.strip() != text.strip():
        return None
    shift = len(text) - len(text.lstrip()) - (len(spelled) - len(spelled.lstrip()))
    first, last = (edge - shift for edge in found[-1].span(1))
    total, at, used = 0.0, 0, 0
    for token, value in tokens:
        if at < last and at + len(token) > first:
            total, used = total + value, used + 1
        at += len(token)
    return min(1.0, math.exp(total)) if used else None
