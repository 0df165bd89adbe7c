"""From plans to prompts, in the language that a pipeline or its adapter understands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldloop.actions import TextTranslator, intended_path
from worldloop.core import InputError, Plan, Vocabulary
from worldloop.models.diffusers.adapters import Adapter
from worldloop.models.diffusers.config import ACTIONS, DiffusersConfig
from worldloop.models.diffusers.pipelines import Embeddings, VideoPipeline

REMEMBERED = 256
"""Prompts whose embeddings are kept; each may take several megabytes."""


class PromptMemory:
    """Embeddings by text, so that the same text is encoded once."""

    def __init__(self, encode: Callable[[str], Embeddings], room: int = REMEMBERED) -> None:
        self._encode, self._room = encode, room
        self._known: OrderedDict[str, dict[str, Tensor]] = OrderedDict()

    def __call__(self, text: str) -> dict[str, Tensor]:
        """Embeddings of a text, on the CPU."""
        if text not in self._known:
            with torch.no_grad():
                self._known[text] = {k: v.cpu() for k, v in self._encode(text).items()}
        self._known.move_to_end(text)
        if len(self._known) > self._room:
            self._known.popitem(last=False)
        return self._known[text]


class Speaker:
    """Tells one pipeline what a plan is."""

    def __init__(
        self, pipeline: VideoPipeline, config: DiffusersConfig, control: str, adapter: Adapter | None
    ) -> None:
        """control: `text`, `code`, `camera` or `none`. adapter: one that worldloop trained, where there is one.

        InputError for a control that pipeline and adapter do not go together with.
        """
        self._pipeline, self.control, self._adapter = pipeline, control, adapter
        self._card: Mapping[str, Any] = {} if adapter is None or adapter.card is None else adapter.card
        self._template = config.text("template") or ""
        self._reads_text = {"text_encoder", "tokenizer"} <= set(pipeline.folder.parts)
        told = pipeline.prompts and control in ("code", "camera")
        self._told = adapter.control if adapter is not None and told else None
        _check(pipeline, control, self._card, told, self._template, self._reads_text)
        self._say = PromptMemory(pipeline.encode if self._reads_text else lambda _: pipeline.blank())
        negative = config.text("negative")
        # An adapter was trained to be told nothing when it is guided away from something.
        self._negative = ("" if self._card else pipeline.default_negative()) if negative is None else negative

    def refusal(self, vocabulary: Vocabulary) -> str | None:
        """Why plans of this vocabulary cannot be told; None if they can."""
        if self.control == "none":
            return None
        if not vocabulary.discrete:
            return f"it is told of named actions as {self.control}, not of commands of {vocabulary.name!r}"
        if self.control == "text":
            try:
                TextTranslator(vocabulary)
            except InputError as error:
                return str(error)
        known = self._card.get("actions", {})
        for p in vocabulary.primitives if self.control == "code" else ():
            if p.name in known and not np.allclose((p.forward, p.left, p.yaw_deg), known[p.name], atol=1e-6):
                return f"it was trained with another motion for {p.name!r}: {known[p.name]} (m, m, deg)"
        return None

    def completed(self, plan: Plan) -> Plan:
        """The plan, for an adapter that was trained on longer ones with its last action repeated to their length."""
        missing = int(self._card.get("frames", 0)) - len(plan)
        if missing <= 0 or self.control == "none":
            return plan
        return replace(plan, actions=plan.actions + plan.actions[-1:] * missing)

    def prompt(self, plan: Plan) -> tuple[Embeddings, Embeddings, str]:
        """Prompt, negative prompt and the prompt in words."""
        if self._told is not None:
            base, actions = self._say(""), self._numbers(plan)
            with torch.no_grad():
                prompt, without = (
                    self._pipeline.told(base, self._told, actions, keep) for keep in (True, False)
                )
            return prompt, without, ""
        spoken = self.control != "none" and plan.vocabulary.discrete
        said = str(TextTranslator(plan.vocabulary).encode(plan).value) if spoken else ""
        text = self._template.replace(ACTIONS, said).strip()
        if not self._pipeline.prompts:
            return {}, {}, text
        return self._say(text), self._say(self._negative), text

    def _numbers(self, plan: Plan) -> Tensor:
        """Codes int64 [1,L] or poses float32 [1,L,3] of a plan, as `PromptControl` reads them."""
        if self.control == "camera":
            path = intended_path(plan)[1:]
            path[:, 2] = np.radians(path[:, 2])
            return torch.from_numpy(path.astype(np.float32))[None]
        codes = {name: i + 1 for i, name in enumerate(self._card["actions"])}
        unknown = sorted({n for n in plan.names if n not in codes})
        if unknown:
            raise InputError(
                f"the adapter was not trained on {', '.join(unknown)}; it knows {', '.join(codes)}"
            )
        return torch.tensor([[codes[n] for n in plan.names]])


def _check(
    pipeline: VideoPipeline,
    control: str,
    card: Mapping[str, Any],
    told: bool,
    template: str,
    reads_text: bool,
) -> None:
    if control not in pipeline.controls:
        raise InputError(f"{pipeline.loads} takes control {' or '.join(pipeline.controls)}, not {control}")
    if told and card.get("control") != control:
        raise InputError(
            f"control={control} needs an adapter that was trained on it: lora=DIR of `worldloop train sft --base "
            f"{pipeline.folder.root} --control {control}`"
        )
    if card and control != "none" and control != card.get("control"):
        raise InputError(f"this adapter was trained with --control {card.get('control')}, not {control}")
    if control == "text" and not reads_text:
        raise InputError(
            f"{pipeline.folder.root} has no text_encoder and tokenizer, which control=text needs; copy all of it"
        )
    if control == "text" and ACTIONS not in template:
        raise InputError(f"the template must say {ACTIONS} where the plan belongs; or give control=none")
