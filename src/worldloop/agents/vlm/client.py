"""Asking for a reply of a given form: from the transcript where it is known, else from the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from worldloop.agents.vlm.calls import Calls, Place, request_digest
from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.pictures import Picture
from worldloop.agents.vlm.prompts import Message
from worldloop.agents.vlm.replies import Completion, Form, UnusableError, completion_of
from worldloop.agents.vlm.secret import key_of
from worldloop.agents.vlm.transport import Attempt, Transport
from worldloop.core import InputError, LimitExceededError, ServerError
from worldloop.runs import frame_hash

T = TypeVar("T")
KeepFrame = Callable[[np.ndarray], str]
SHOWN_AGAIN = 2000
"""Characters of an unusable reply that the model is shown when it is asked again."""


class UnusableReplyError(ServerError):
    """The model gave no usable reply, however often it was asked."""


@dataclass
class Ledger:
    """What an episode has spent; requests that were answered count, whether now or before a resume."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def check(self, config: VlmConfig) -> None:
        """LimitExceededError when a limit of the episode is used up."""
        spent = (
            ("max_calls", self.calls, config.max_calls),
            ("max_episode_tokens", self.prompt_tokens + self.completion_tokens, config.max_episode_tokens),
            ("max_cost", self.cost, config.max_cost),
        )
        for name, used, limit in spent:
            if limit and used >= limit:
                raise LimitExceededError(f"the episode has used up {name}={limit:g} ({used:g})")

    def book(self, completion: Completion, config: VlmConfig) -> None:
        """Add a reply; ServerError when a limit is set and the server does not say what was used."""
        self.calls += 1
        usage = completion.usage
        if usage.prompt is None or usage.completion is None:
            if config.max_episode_tokens or config.max_cost:
                raise ServerError(
                    "the server reports no usage, so max_episode_tokens and max_cost cannot be kept"
                )
            return
        self.prompt_tokens += usage.prompt
        self.completion_tokens += usage.completion
        self.cost += (usage.prompt * config.price_in + usage.completion * config.price_out) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return {"calls": self.calls, **tokens, "cost": round(self.cost, 9)}


@dataclass(frozen=True)
class Reply(Generic[T]):
    """A checked reply."""

    value: T
    completion: Completion
    turns: int
    """Requests it took; above 1 when replies could not be used."""


@dataclass(eq=False)
class Client:
    """A chat server as an agent sees it. Use `open` and `close` in the event loop that asks."""

    config: VlmConfig
    replay: str = ""
    """Folder of a run whose transcript stands in for the server."""
    transport: Transport | None = None
    calls: Calls = field(default_factory=Calls)
    keep_frame: KeepFrame = frame_hash

    async def open(
        self, folder: Path | None, spec: Mapping[str, Any], keep_frame: KeepFrame = frame_hash
    ) -> None:
        """Read the transcript of a run that is resumed, and get ready to ask.

        InputError when neither a server nor a transcript is named.
        """
        if not self.replay and not (self.config.base_url and self.config.model):
            raise InputError(
                "agent vlm needs a server: --agent vlm:base_url=http://HOST:PORT/v1,model=NAME, or replay=RUN_FOLDER"
            )
        self.calls, self.keep_frame = Calls(folder), keep_frame
        if self.replay:
            self.calls.replay(self.replay, spec)
        else:
            self.transport = Transport(self.config, key_of(self.config))

    async def close(self) -> None:
        """Close connections and the transcript."""
        transport, self.transport = self.transport, None
        if transport is not None:
            await transport.close()
        self.calls.close()

    async def ask(
        self, place: Place, ledger: Ledger, messages: Sequence[Message], form: Form[Any, T], seed: int
    ) -> Reply[T]:
        """A reply of the form. One that cannot be used is asked again with what is wrong with it.

        Raises UnusableReplyError after 1 + `reask` of them, ServerError when the server fails,
        LimitExceededError when the episode's limits are used up, ReplayMissError while replaying.
        """
        dialogue = list(messages)
        try:
            for turn in range(1 + self.config.reask):
                completion = await self._complete(replace(place, turn=turn), ledger, dialogue, form, seed)
                try:
                    return Reply(form.read(completion), completion, turn + 1)
                except UnusableError as error:
                    problem = error
                dialogue.append(("assistant", (completion.text[:SHOWN_AGAIN] or "(nothing)",)))
                dialogue.append(
                    ("user", (f"That reply cannot be used: {problem}. Reply again:\n{form.text}",))
                )
            raise UnusableReplyError(
                f"{place.purpose}: no usable reply in {turn + 1}; the last one: {problem}"
            )
        except ServerError as error:
            # Where the episode goes on, the failure is its outcome: a resume must find these replies again.
            if not (isinstance(error, UnusableReplyError) and self.config.on_failure == "continue"):
                self.calls.failed(place, str(error))
            raise

    async def _complete(
        self, place: Place, ledger: Ledger, dialogue: Sequence[Message], form: Form[Any, Any], seed: int
    ) -> Completion:
        ledger.check(self.config)
        record, wire = await asyncio.to_thread(self._request, dialogue, form, seed)
        body = self.calls.answered(place, request_digest(record))
        if body is None:
            if self.transport is None:
                raise InputError("agent vlm is not connected: its client was not opened")

            async def note(attempt: Attempt) -> None:
                # No await: a task that is cancelled here would pay for the reply and lose it.
                self.calls.note(place, record, attempt, {"base_url": self.config.base_url})

            body = await self.transport.ask(wire, note)
        completion = completion_of(body)
        ledger.book(completion, self.config)
        return completion

    def _request(
        self, dialogue: Sequence[Message], form: Form[Any, Any], seed: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The request twice: as it is written down, with frame hashes, and as it is sent, with data URIs."""
        config = self.config
        settings: dict[str, Any] = {
            "model": config.model,
            "seed": seed,
            config.token_field: config.max_tokens,
        }
        if config.temperature is not None:
            settings["temperature"] = config.temperature
        if config.logprobs:
            settings["logprobs"] = True
        if (shape := form.response_format(config.structured)) is not None:
            settings["response_format"] = shape
        noted: list[dict[str, Any]] = []
        sent: list[dict[str, Any]] = []
        for role, parts in dialogue:
            if all(isinstance(p, str) for p in parts):
                noted.append({"role": role, "content": "".join(map(str, parts))})
                sent.append(noted[-1])
                continue
            noted.append({"role": role, "content": [self._noted(p) for p in parts]})
            sent.append({"role": role, "content": [self._sent(p) for p in parts]})
        return {**settings, "messages": noted}, {**settings, "messages": sent}

    def _noted(self, part: str | Picture) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        return {"type": "image", "frame": self.keep_frame(part.pixels)}

    def _sent(self, part: str | Picture) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        return {"type": "image_url", "image_url": {"url": part.uri(self.config.image_format)}}
