"""The scripted agent of embodied question answering: where it walks, and how it chooses among imagined ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldloop.agents.odometry import Pose
from worldloop.agents.perception.answerer import Recogniser
from worldloop.agents.perception.free_space import FreeSpace
from worldloop.agents.perception.service import Perception
from worldloop.agents.question_answers import Answers
from worldloop.agents.question_exploring import (
    ExploringConfig,
    FloorMap,
    Ways,
    centres,
    looked_round,
    steer,
    walk,
)
from worldloop.agents.question_lore import HouseLore
from worldloop.agents.question_memory import HouseMemory, MemoryConfig, Thing
from worldloop.agents.question_parsing import Asked, parse_question
from worldloop.agents.recognition import first_proposal, select
from worldloop.core import Belief, Candidate, Decision, Situation

STILL = 0.5
"""Mean difference of two pictures, in 255ths, below which nothing has moved."""


@dataclass(frozen=True)
class QuestionConfig:
    """How imagined ways are chosen."""

    margin: float = 0.25
    """By how much another plan must promise more than the first one."""
    relevance: float = 2.0
    """What a thing that may answer the question counts, beside one that is only new."""
    blocked: float = 0.1
    """What each step that is imagined to be blocked takes off a plan."""
    believed: float = 0.7
    """Trust in imagination from which on such steps are left out."""
    seen: float = 0.2
    """What another view counts of a thing that has really been seen, but not well."""
    new_thing: float = 0.2
    """What a thing that is only new counts."""


class QuestionSenses:
    """What proposer, reviser and answerer share: networks, general knowledge and the notes of each episode."""

    def __init__(
        self,
        perception: Perception,
        recogniser: Recogniser,
        free_space: FreeSpace | None = None,
        lore: HouseLore | None = None,
    ) -> None:
        self.perception, self.recogniser = perception, recogniser
        self.free_space, self.lore = free_space or FreeSpace.load(), lore or HouseLore.load()
        self.memory_config, self.exploring, self.config = MemoryConfig(), ExploringConfig(), QuestionConfig()

    def memory(self, situation: Situation) -> HouseMemory:
        """The notes of an episode."""
        return HouseMemory.of(situation, self.recogniser, self.perception, self.memory_config)

    def asked(self, situation: Situation) -> Asked:
        """The question of an episode."""
        return parse_question(situation.goal.text)


@dataclass(frozen=True)
class QuestionAnswerer:
    """Answers from its notes; imagined views are added to them as far as imagination has come true."""

    senses: QuestionSenses

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The belief. It is sure only of what has been seen, not of what has not been."""
        memory = self.senses.memory(situation)
        await memory.take_in(situation)
        if imagined:
            memory.remember(await memory.imagine(situation, imagined))
        return Answers(memory, self.senses.lore, situation).belief(self.senses.asked(situation))


@dataclass(frozen=True)
class ExploringProposer:
    """Looks around, then walks to new places, nearest and newest first; each plan leads to another place."""

    senses: QuestionSenses

    async def propose(self, situation: Situation) -> list[Candidate]:
        """M plans, the preferred one first; nothing but real views and dead reckoning is used."""
        memory, config = self.senses.memory(situation), self.senses.exploring
        await memory.take_in(situation)
        floor = FloorMap.of(situation, self.senses.free_space, config)
        await floor.take_in(situation)
        here, length = memory.poses[-1], situation.horizon
        plans: list[list[str]] = []
        if not looked_round(memory.poses, config.round):
            plans += [["turn_left"] * length, ["turn_right"] * length]
        ways = floor.ways(here)
        targets = self._targets(situation, floor, ways, memory)
        for target in targets:
            places = walk(floor, ways.to(target))
            others = [t for t in targets if t != target]
            if places and others:
                # What is left of the plan leads on to the next place, for looking around has been done.
                onward = floor.ways((*places[-1], 0.0))
                places += walk(floor, onward.to(min(others, key=lambda t: float(onward.costs[t]))))
            plans.append(steer(here, places, length))
        for spare in (["turn_left"] * length, ["turn_right"] * length, ["move_forward"] * length):
            plans.append(spare)
        chosen = list(dict.fromkeys(map(tuple, plans)))[: situation.rollouts]
        return [Candidate(situation.vocabulary.plan(p), prior=-float(n)) for n, p in enumerate(chosen)]

    def _targets(
        self, situation: Situation, floor: FloorMap, ways: Ways, memory: HouseMemory
    ) -> list[tuple[int, int]]:
        """Cells to walk to, the preferred one first, far from one another."""
        config, poses = self.senses.exploring, memory.poses
        costs = ways.costs
        value = floor.newness(poses) - config.way * costs
        value[costs < 0.3] = -np.inf
        value[floor.odds <= 0.4] = -np.inf
        x, y = centres()
        aims: list[tuple[float, float]] = situation.memory.setdefault("aims", [])
        for aim in aims[-1:]:
            value += np.where(np.hypot(x - aim[0], y - aim[1]) < 0.5, config.keep, 0.0)
        for aim in aims:
            # What was aimed at so often and not reached is out of reach.
            if sum(np.hypot(aim[0] - ax, aim[1] - ay) < 0.5 for ax, ay in aims) >= config.attempts:
                value[np.hypot(x - aim[0], y - aim[1]) < 0.5] = -np.inf
        out: list[tuple[int, int]] = []
        near = self._doubtful(situation, memory, poses)
        if near is not None:
            gap = np.hypot(x - near[0], y - near[1])
            closer = np.where(np.isfinite(value) & (gap > 0.5), -gap - 0.1 * costs, -np.inf)
            cell = np.unravel_index(int(np.argmax(closer)), closer.shape)
            if np.isfinite(closer[cell]):
                out.append((int(cell[0]), int(cell[1])))
        while len(out) < situation.rollouts and np.isfinite(value).any():
            cell = np.unravel_index(int(np.argmax(value)), value.shape)
            out.append((int(cell[0]), int(cell[1])))
            value[np.hypot(x - x[cell], y - y[cell]) < config.apart] = -np.inf
        if out:
            aims.append((float(x[out[0]]), float(y[out[0]])))
        return out

    def _doubtful(self, situation: Situation, memory: HouseMemory, poses: list[Pose]) -> np.ndarray | None:
        """The place of a thing that may be what the question is about but is not well seen; each once."""
        asked, tried = self.senses.asked(situation), situation.memory.setdefault("approached", set())
        best: tuple[float, int, np.ndarray] | None = None
        index = {c: i for i, c in enumerate(memory.recogniser.classes)}
        wanted = [index[c] for c in asked.categories if c in index]
        for thing in memory.things.values():
            # Proposals rest on real views alone.
            p = float(memory.shares(thing, real_only=True)[wanted].sum()) if wanted and thing.looks else 0.0
            if not 0.15 < p < 0.9 or thing.track in tried:
                continue
            place = memory.place(thing, asked.categories[0])
            if (
                place is not None
                and np.hypot(*(place - poses[-1][:2])) > 0.8
                and (best is None or p > best[0])
            ):
                best = p, thing.track, place
        if best is None:
            return None
        count = situation.memory.setdefault("approaches", {})
        count[best[1]] = count.get(best[1], 0) + 1
        if count[best[1]] >= 3:
            tried.add(best[1])
        return best[2]


@dataclass(frozen=True)
class PromiseReviser:
    """Score-and-select: the plan whose views promise most about the question."""

    senses: QuestionSenses

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """The best candidate by what its views show, or the first proposal when nothing is imagined."""
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        memory, config = self.senses.memory(situation), self.senses.config
        looks = await memory.imagine(situation, candidates)
        asked = self.senses.asked(situation)
        index = {c: i for i, c in enumerate(memory.recogniser.classes)}
        wanted = [index[c] for c in asked.categories if c in index]
        scores, blocked = [], [_blocked(situation, c) for c in candidates]
        for found, stuck in zip(looks, blocked):
            score = -config.blocked * len(stuck)
            for track, look in found:
                p = memory.recogniser.shares(look.logits[None])[0]
                new = self._newness(memory, memory.things.get(track), len(situation.actions))
                score += new * (config.new_thing * float(p.max()) + config.relevance * float(p[wanted].sum()))
            scores.append(round(memory.trust * score, 6))
        decision = select(candidates, scores, config.margin, "its views promise most about the question")
        stuck = blocked[decision.chosen or 0]
        if memory.trust < config.believed or not stuck:
            return decision
        # A step that changes nothing can be left out: the plan leads to the same views without it.
        kept = tuple(a for i, a in enumerate(decision.actions) if i not in stuck)
        return replace(decision, actions=kept or decision.actions)

    def _newness(self, memory: HouseMemory, thing: Thing | None, steps: int) -> float:
        """1 for what has never been seen; what was imagined before is old as far as imagination is believed."""
        if thing is None or (not thing.looks and thing.since >= steps):
            return 1.0
        return self.senses.config.seen if thing.looks else max(self.senses.config.seen, 1.0 - memory.trust)


def _blocked(situation: Situation, candidate: Candidate) -> set[int]:
    """Which steps of a plan are imagined to lead nowhere: walking, and the picture stays as it is."""
    frames = candidate.rollout.frames if candidate.rollout is not None else ()
    out, before = set(), situation.observation.rgb
    for i, (action, frame) in enumerate(zip(candidate.plan.actions, frames)):
        walks = situation.vocabulary.primitive(action).forward != 0
        if walks and np.abs(frame.rgb.astype(np.int16) - before).mean() < STILL:
            out.add(i)
        before = frame.rgb
    return out


@dataclass(frozen=True)
class BlindAnswerer:
    """Answers at once what is most often right, without looking."""

    lore: HouseLore

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The most frequent answer to such a question in training houses, with full confidence."""
        return Belief(self.lore.guess(parse_question(situation.goal.text)), 1.0)
