"""A language model that grades answers, for embodied question answering."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.agents.vlm.build import need_extra
from worldloop.agents.vlm.calls import Calls, Place
from worldloop.agents.vlm.client import Client, Ledger
from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.forms import grade_form
from worldloop.agents.vlm.prompts import identity, prompt
from worldloop.agents.vlm.secret import key_of
from worldloop.agents.vlm.transport import Transport
from worldloop.core import InputError, derive_seed
from worldloop.runs.fields import canonical

JUDGED_NAME = "judged.jsonl"


class LlmJudge:
    """Grades from 1 to 5, the scale of OpenEQA. Blocking; safe to call from several threads.

    Within a run its calls are kept in `judged.jsonl`: what was graded there is not asked again. A judge that fails
    raises ServerError: never a silent grade.
    """

    def __init__(self, config: VlmConfig) -> None:
        """InputError without base_url and model, or for a key that cannot be used."""
        if not config.base_url or not config.model:
            raise InputError("the LLM judge needs base_url=http://HOST:PORT/v1 and model=NAME")
        key_of(config)
        self.config = replace(config, logprobs=False, images=False)
        self._calls = Calls()

    @property
    def name(self) -> str:
        """The model, and a digest of all that grades depend on: settings and prompt."""
        settings = {"config": self.config.identity(), "prompts": identity(("judge",))}
        digest = hashlib.blake2b(canonical(settings).encode(), digest_size=4).hexdigest()
        return f"llm:{self.config.model}:{digest}"

    async def open(
        self, folder: Path, spec: Mapping[str, Any], keep_frame: Callable[[np.ndarray], str]
    ) -> None:
        """Read what was graded in this run before."""
        self._calls = Calls(folder, JUDGED_NAME)

    async def close(self) -> None:
        """Close the transcript."""
        self._calls.close()

    def judge(self, question: str, accepted: Sequence[str], given: str) -> int:
        """The grade of an answer, 1 (wrong) to 5 (says the same as one of the accepted answers).

        No answer at all is a 1 without a call. InputError without an accepted answer.
        """
        if not accepted:
            raise InputError(f"there is no accepted answer to compare with: {question!r}")
        return asyncio.run(self._grade(question, accepted, given)) if given.strip() else 1

    async def _grade(self, question: str, accepted: Sequence[str], given: str) -> int:
        form = grade_form()
        right = "; or: ".join(accepted)
        messages = prompt("judge").fill(
            {"question": question, "accepted": right, "given": given, "form": form.text}
        )
        seed = derive_seed(question, right, given, "judge") % 2**31
        transport = Transport(self.config, key_of(self.config))
        try:
            client = Client(self.config, transport=transport, calls=self._calls)
            reply = await client.ask(Place("", 0, f"judge {seed}"), Ledger(), messages, form, seed)
        finally:
            await transport.close()
        return reply.value


def llm(**options: Any) -> LlmJudge:
    """`embodied-qa:judge=llm,base_url=...,model=...`; options are the fields of `VlmConfig`.

    MissingExtraError without the extra `vlm`, InputError for an unknown option.
    """
    need_extra("the LLM judge")
    return LlmJudge(VlmConfig.of(options))
