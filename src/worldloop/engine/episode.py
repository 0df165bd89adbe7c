"""One episode, as a coroutine that reads like the paper: observe, propose, simulate, revise, act, repeat."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldloop.core import (
    Action,
    Agent,
    AsksQuestions,
    Candidate,
    Decision,
    Environment,
    Episode,
    Goal,
    InputError,
    ModelCard,
    Observation,
    Outcome,
    Query,
    Situation,
    Task,
    Vocabulary,
    derive_seed,
    generator,
)
from worldloop.engine.guard import only, placed
from worldloop.engine.services import Clock, Simulates, Workers
from worldloop.engine.settings import Resolved
from worldloop.engine.transcript import Transcript, Turn
from worldloop.runs import EpisodeRecord


@dataclass
class EpisodeRunner:
    """Runs episodes of one task with one agent and one model, of which the card is enough here."""

    task: Task
    card: ModelCard
    agent: Agent
    settings: Resolved
    workers: Workers
    simulation: Simulates

    async def run(self, episode: Episode, index: int, transcript: Transcript) -> EpisodeRecord:
        """Play an episode to its end and score it. Exceptions pass through: the caller records them."""
        needs = {*self.card.reads, *self.agent.reads, *self.task.agent_sees}
        environment = self.task.environment(needs)
        try:
            return await self._play(environment, episode, index, transcript)
        finally:
            environment.close()

    async def _play(
        self, env: Environment, episode: Episode, index: int, transcript: Transcript
    ) -> EpisodeRecord:
        total, started = Clock(), time.perf_counter()
        (truth,), done = await self._act(total, env, episode, env.reset, [episode])
        goal = await self.workers.run(total, "act", self.task.goal, env, episode)
        situation = self._situation(env, episode, goal, truth)
        seen, path_length, stopped = [truth], 0.0, False
        # Tasks that ask a question say what they accept; it goes into the transcript and nowhere else.
        accepted: tuple[str, ...] = ()
        if isinstance(self.task, AsksQuestions):
            accepted = self.task.accepted_answers(episode)
        while situation.decision < episode.budget and not stopped and not done:
            clock = Clock()
            decision, candidates = await self._decide(clock, env, episode, situation, seen)
            stopped = decision.stop
            actions = () if stopped else _until_stop(env.vocabulary, decision.actions)
            stopped = stopped or len(actions) < len(decision.actions)
            before, carried = seen[-1], []
            if actions:
                truths, done = await self._act(clock, env, episode, env.step, actions)
                for action, truth in zip(actions, truths):
                    path_length += _moved(seen[-1], truth)
                    seen.append(truth)
                    situation.history.append(self._shown(truth))
                    situation.actions.append(action)
                    carried.append(str(action))
                stopped = stopped and not done
            turn = Turn(
                episode.id,
                situation.decision,
                situation.goal,
                before,
                decision,
                candidates,
                tuple(carried),
                situation.belief,
                clock.seconds,
                accepted,
            )
            await self.workers.run(total, "record", transcript.note, turn)
            for phase, seconds in clock.seconds.items():
                total.add(phase, seconds)
            situation.decision += 1
        belief = situation.belief
        if self.agent.answerer is not None and not stopped:
            belief = await self._time(total, "answer", self.agent.answerer.answer(situation))
        outcome = Outcome(belief, stopped, len(situation.actions), path_length)
        score = await self.workers.run(total, "act", self.task.score, env, episode, outcome)
        total.add("wall", time.perf_counter() - started)
        return EpisodeRecord(
            episode_id=episode.id,
            index=index,
            scene=episode.scene,
            seed=episode.seed,
            status="finished",
            success=score.success,
            score=score.score,
            steps=outcome.steps,
            decisions=situation.decision,
            path_length=path_length,
            answer=belief.answer if belief else None,
            confidence=belief.confidence if belief else None,
            metrics=dict(score.metrics),
            seconds=total.seconds,
        )

    async def _decide(
        self, clock: Clock, env: Environment, episode: Episode, situation: Situation, seen: list[Observation]
    ) -> tuple[Decision, list[Candidate]]:
        self._bind(situation, clock, episode)
        answerer, sure = self.agent.answerer, self.task.budgets.confidence
        if answerer is not None:
            situation.belief = await self._time(clock, "answer", answerer.answer(situation))
            if situation.belief.confidence >= sure:
                return Decision((), None, (), "sure from what it has seen", stop=True), []
        candidates = await self._time(clock, "propose", self.agent.proposer.propose(situation))
        if not candidates:
            raise InputError(f"agent {self.agent.name!r} proposed no plan")
        candidates = candidates[: self.settings.rollouts]
        plain = candidates
        if self.card.imagines:
            candidates = await self._simulate(clock, env, episode, situation, seen, candidates)
        if answerer is not None and candidates is not plain and self.settings.use != "plan":
            situation.belief = await self._time(clock, "answer", answerer.answer(situation, candidates))
            if situation.belief.confidence >= sure:
                reason = "sure after looking at what the model imagines"
                return Decision((), None, tuple(None for _ in candidates), reason, stop=True), candidates
        shown = plain if self.settings.use == "perceive" else candidates
        decision = await self._time(clock, "revise", self.agent.reviser.revise(situation, shown))
        if not decision.stop and not decision.actions:
            raise InputError(f"agent {self.agent.name!r} decided to do nothing and not to stop")
        return replace(decision, actions=decision.actions[: self.settings.execute]), candidates

    async def _simulate(
        self,
        clock: Clock,
        env: Environment,
        episode: Episode,
        situation: Situation,
        seen: list[Observation],
        candidates: list[Candidate],
    ) -> list[Candidate]:
        simulator = env.simulator() if "simulator" in self.card.privileges else None
        queries = [
            Query(
                history=tuple(seen[-max(1, self.card.history) :]),
                actions=tuple(situation.actions),
                plan=c.plan,
                seed=derive_seed(self.settings.seed, episode.id, situation.decision, i, "rollout"),
                simulator=simulator,
                alternatives=tuple(o.plan for o in candidates if o is not c),
            )
            for i, c in enumerate(candidates)
        ]
        rollouts = await self.simulation.ask(clock, queries)
        now, card = seen[-1], self.card

        def work() -> list[Candidate]:
            shown = [replace(c, rollout=placed(r, now.pose, card)) for c, r in zip(candidates, rollouts)]
            return self.task.imagined(env, episode, now, shown)

        return await self.workers.run(clock, "act", work)

    async def _act(
        self,
        clock: Clock,
        env: Environment,
        episode: Episode,
        act: Callable[[Any], Observation],
        arguments: Sequence[Any],
    ) -> tuple[list[Observation], bool]:
        """What is seen after each action, up to the one that ends the task, and whether it has ended."""

        def work() -> tuple[list[Observation], bool]:
            seen, done = [], False
            for argument in arguments:
                seen.append(self.task.observe(env, episode, act(argument)))
                done = self.task.done(env, episode)
                if done:
                    break
            return seen, done

        return await self.workers.run(clock, "act", work)

    def _shown(self, observation: Observation) -> Observation:
        sees = self.task.agent_sees
        return only(observation, (*sees, *self.agent.reads), self.agent.privileges, granted=sees)

    def _situation(self, env: Environment, episode: Episode, goal: Goal, truth: Observation) -> Situation:
        situation = Situation(
            goal=goal,
            vocabulary=env.vocabulary,
            budget=episode.budget,
            rollouts=self.settings.rollouts,
            horizon=self.settings.horizon,
            execute=self.settings.execute,
            compute=_unbound,
            draw=_unbound,
            history=[self._shown(truth)],
            episode=episode.id,
        )
        self._bind(situation, Clock(), episode)
        return situation

    def _bind(self, situation: Situation, clock: Clock, episode: Episode) -> None:
        seed, k = self.settings.seed, situation.decision
        situation.compute = lambda function, *args: self.workers.run(clock, "perceive", function, *args)
        situation.draw = lambda purpose, *more: generator(seed, episode.id, k, purpose, *more)

    async def _time(self, clock: Clock, phase: str, work: Any) -> Any:
        # Phases of the agent include the perception they wait for; `perceive` books the work itself.
        start = time.perf_counter()
        result = await work
        clock.add(phase, time.perf_counter() - start)
        return result


def _until_stop(vocabulary: Vocabulary, actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions before the first one that stops."""
    if not vocabulary.discrete:
        return tuple(actions)
    return tuple(itertools.takewhile(lambda a: not vocabulary.primitive(a).stops, actions))


def _unbound(*_: Any) -> Any:
    raise RuntimeError("the situation is not bound to a decision yet")


def _moved(a: Observation, b: Observation) -> float:
    if a.pose is None or b.pose is None:
        return 0.0
    return float(np.linalg.norm(b.pose[:3, 3] - a.pose[:3, 3]))
