"""A language model that grades answers, for embodied question answering."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worldloop.agents.vlm.build import need_extra
from worldloop.agents.vlm.calls import Calls, Place
from worldloop.agents.vlm.client import Client, Ledger
from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.forms import grade_form
from worldloop.agents.vlm.prompts import identity, prompt
from worldloop.agents.vlm.secret import Secret
from worldloop.agents.vlm.transport import Transport
from worldloop.core import InputError, derive_seed

JUDGED_NAME = "judged.jsonl"


@dataclass(frozen=True)
class LlmJudge:
    """`judge(question, accepted, given) -> 1..5`, the scale of OpenEQA. Blocking; safe to call from any thread.

    No answer at all is a 1 without a call. A judge that fails raises ServerError: never a silent grade.
    """

    config: VlmConfig
    folder: Path | None = None
    """Where `judged.jsonl` is kept: a question that was graded there is not graded again."""

    @classmethod
    def of(cls, folder: str | Path | None = None, **options: Any) -> LlmJudge:
        """A judge from the options of `VlmConfig`; InputError without base_url and model."""
        need_extra("the LLM judge")
        config = VlmConfig.of(options)
        if not config.base_url or not config.model:
            raise InputError("the LLM judge needs base_url=http://HOST:PORT/v1 and model=NAME")
        Secret.of(config)
        return cls(replace(config, logprobs=False, images=False), None if folder is None else Path(folder))

    @property
    def settings(self) -> dict[str, Any]:
        """What its grades depend on, JSON-ready: part of the identity of a run that uses it."""
        return {"judge": {"config": self.config.identity(), "prompts": identity(("judge",))}}

    def __call__(self, question: str, accepted: Sequence[str], given: str | None) -> int:
        """The grade of an answer, 1 (wrong) to 5 (says the same as one of the accepted answers)."""
        if not accepted:
            raise InputError(f"there is no accepted answer to compare with: {question!r}")
        if given is None or not given.strip():
            return 1
        return asyncio.run(self._grade(question, accepted, given))

    async def _grade(self, question: str, accepted: Sequence[str], given: str) -> int:
        form = grade_form()
        right = "; or: ".join(accepted)
        messages = prompt("judge").fill(
            {"question": question, "accepted": right, "given": given, "form": form.text}
        )
        seed = derive_seed(question, right, given, "judge") % 2**31
        client = Client(
            self.config,
            transport=Transport(self.config, Secret.of(self.config)),
            calls=Calls(self.folder, JUDGED_NAME),
        )
        try:
            reply = await client.ask(Place("", 0, f"judge {seed}"), Ledger(), messages, form, seed)
        finally:
            await client.close()
        return reply.value
