"""Proposer, reviser and answerer that ask a language model; they fit any goal and any vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from worldloop.agents.vlm.calls import Place
from worldloop.agents.vlm.client import Client, Ledger, Reply, UnusableReplyError
from worldloop.agents.vlm.forms import Stated, answer_form, proposal_form, revision_form, usable_actions
from worldloop.agents.vlm.prompts import Part, prompt
from worldloop.agents.vlm.replies import Form, token_probability
from worldloop.agents.vlm.scene import plans, shared_slots
from worldloop.core import Belief, Candidate, Decision, Plan, Situation

T = TypeVar("T")


@dataclass(frozen=True)
class VlmAgent:
    """One model in all three parts. `stops`: whether a plan may stop; an agent that answers ends by being sure."""

    client: Client
    stops: bool

    async def propose(self, situation: Situation) -> list[Candidate]:
        """The model's plans, the preferred one first. Equal ones become one; `proposed` tells how many there were."""
        form = proposal_form(situation, self.stops)
        try:
            said = (await self._ask(situation, "propose", form)).value
        except UnusableReplyError as error:
            self._go_on(error)
            return [self._random(situation, i, error) for i in range(situation.rollouts)]
        counts: dict[Plan, int] = {}
        for plan in said:
            counts[plan] = counts.get(plan, 0) + 1
        return [
            Candidate(plan, prior=-float(i), details={"proposed": n} if n > 1 else {})
            for i, (plan, n) in enumerate(counts.items())
        ]

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """A candidate, or a plan of the model's own; the first one when nothing is imagined."""
        nothing = tuple(None for _ in candidates)
        failed = candidates[0].details.get("vlm_failed")
        if any(c.rollout is None for c in candidates):
            reason = "random plan: the language model failed" if failed else "first proposal"
            return self._noted(situation, Decision(candidates[0].plan.actions, 0, nothing, reason), failed)
        form = revision_form(situation, [c.plan for c in candidates], self.stops)
        try:
            said = (await self._ask(situation, "revise", form, candidates)).value
        except UnusableReplyError as error:
            self._go_on(error)
            reason = "first proposal: the language model failed"
            decision = Decision(candidates[0].plan.actions, 0, nothing, reason)
            return self._noted(situation, decision, str(error))
        reason = "the language model's own plan" if said.chosen is None else "the language model's choice"
        decision = Decision(said.plan.actions, said.chosen, said.scores, reason)
        return self._noted(situation, decision, failed)

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The model's answer. Its confidence is the probability of the answer's tokens where the server gives them,
        else what the model says; `details` tells which. Equal evidence is judged once."""
        shown = [c for c in imagined if c.rollout is not None]
        known: dict[tuple[int, bool], Belief] = situation.memory.setdefault("vlm answers", {})
        key = len(situation.history), bool(shown)
        if not shown and key in known:
            return known[key]
        purpose = "answer imagined" if shown else "answer"
        try:
            reply = await self._ask(situation, purpose, answer_form(situation.goal.classes), shown)
        except UnusableReplyError as error:
            self._go_on(error)
            return Belief(None, 0.0, details={"vlm_failed": str(error)})
        belief = self._belief(reply)
        if not shown:
            known[key] = belief
        return belief

    def _belief(self, reply: Reply[Stated]) -> Belief:
        stated = reply.value
        sure = token_probability(reply.completion, "answer")
        source = "stated" if sure is None else "token probability"
        confidence = stated.confidence if sure is None else round(sure, 6)
        details = {"confidence_from": source, "stated_confidence": stated.confidence}
        return Belief(stated.answer, confidence, ((stated.answer, confidence),), details)

    async def _ask(
        self, situation: Situation, purpose: str, form: Form[Any, T], candidates: Sequence[Candidate] = ()
    ) -> Reply[T]:
        config = self.client.config
        slots: dict[str, str | list[Part]] = {
            **shared_slots(situation, config, self.stops),
            "plans": plans(candidates, config),
            "form": form.text,
            "choices": "",
        }
        if situation.goal.classes:
            slots["choices"] = f"Possible answers: {', '.join(situation.goal.classes)}\n"
        messages = prompt(purpose.split()[0]).fill(slots)
        seed = int(situation.draw(f"vlm {purpose}").integers(2**31))
        ledger: Ledger = situation.memory.setdefault("vlm ledger", Ledger())
        place = Place(situation.episode, situation.decision, purpose)
        return await self.client.ask(place, ledger, messages, form, seed)

    def _go_on(self, error: UnusableReplyError) -> None:
        if self.client.config.on_failure == "crash":
            raise error

    def _random(self, situation: Situation, index: int, error: UnusableReplyError) -> Candidate:
        """The declared rule of `on_failure=continue`: a uniformly random plan, marked as such."""
        vocabulary, rng = situation.vocabulary, situation.draw("vlm failed", index)
        if vocabulary.discrete:
            names = usable_actions(vocabulary, False)
            plan = vocabulary.plan([names[i] for i in rng.integers(len(names), size=situation.horizon)])
        else:
            values = rng.uniform(vocabulary.low, vocabulary.high, (situation.horizon, len(vocabulary.fields)))
            plan = vocabulary.plan(values.tolist())
        return Candidate(plan, prior=-float(index), details={"vlm_failed": str(error)})

    @staticmethod
    def _noted(situation: Situation, decision: Decision, failed: str | None) -> Decision:
        ledger: Ledger = situation.memory.get("vlm ledger", Ledger())
        details = {"vlm": ledger.to_dict()} | ({"vlm_failed": failed} if failed else {})
        return replace(decision, details=details)
