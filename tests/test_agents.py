"""Agents: proposals are plans of the right number and length, memory works, revisers choose as they should."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.agents import AGENTS
from worldloop.agents.motion import all_plans, bearing, pixel_bearing
from worldloop.agents.odometry import headings_seen, odometry, turn_to
from worldloop.agents.orbit import OrbitProposer
from worldloop.agents.proposers import BeamProposer, EnumerateProposer, RandomProposer
from worldloop.agents.recognition import Evidence, EvidenceConfig, Trust, first_proposal, select
from worldloop.core import Action, Candidate, Goal, InputError, Observation, Rollout, Situation, generator
from worldloop.core.actions import Vocabulary

BLACK = np.zeros((128, 128, 3), np.uint8)


async def inline(function, *args):
    return function(*args)


def situation(rollouts=3, horizon=4, history=None, actions=(), **memory) -> Situation:
    return Situation(
        goal=Goal("look", image=BLACK),
        vocabulary=NAVIGATION,
        budget=10,
        rollouts=rollouts,
        horizon=horizon,
        execute=1,
        compute=inline,
        draw=lambda purpose, *more: generator(0, purpose, *more),
        history=list(history or [seen()]),
        actions=[Action(a) for a in actions],
        memory=dict(memory),
    )


def seen(box=None, collided=False) -> Observation:
    extra = {"collided": np.array(collided)}
    if box is not None:
        extra["target_box"] = np.array(box, np.float32)
    return Observation(BLACK, extra=extra)


def propose(proposer, s: Situation) -> list[Candidate]:
    return asyncio.run(proposer.propose(s))


@pytest.mark.parametrize(
    "proposer", [RandomProposer(), BeamProposer(), OrbitProposer()], ids=lambda p: type(p).__name__
)
@pytest.mark.parametrize("rollouts", [1, 2, 5, 11])
def test_m_different_plans_of_l_actions(proposer, rollouts):
    candidates = propose(proposer, situation(rollouts=rollouts))
    assert len(candidates) == rollouts
    assert all(len(c.plan) == 4 and "stop" not in c.plan.names for c in candidates)
    assert len({c.plan for c in candidates}) == rollouts
    assert [c.prior for c in candidates] == sorted((c.prior for c in candidates), reverse=True)


def test_no_more_plans_than_there_are():
    assert len(propose(RandomProposer(), situation(rollouts=50, horizon=2))) == 9
    assert len(propose(EnumerateProposer(), situation(rollouts=50))) == 3


def test_orbit_offers_both_sides_and_keeps_the_object_in_view():
    candidates = propose(OrbitProposer(), situation(rollouts=2, history=[seen(box=(50, 50, 78, 100))]))
    plans, paths = all_plans(NAVIGATION, 4)
    ends = np.stack([paths[plans.index(c.plan)][-1] for c in candidates])
    assert ends[0, 1] * ends[1, 1] < 0  # one to the left, one to the right
    assert all(abs(bearing(e, np.array([2.0, 0.0]))) < 50 for e in ends)


def test_orbit_turns_to_an_object_at_the_edge():
    for box, name in (((100, 50, 127, 90), "turn_right"), ((0, 50, 27, 90), "turn_left")):
        candidates = propose(OrbitProposer(), situation(rollouts=3, history=[seen(box=box)]))
        assert any(name in c.plan.names for c in candidates)


def test_orbit_avoids_walking_into_what_just_blocked_it():
    blocked = situation(
        history=[seen((50, 50, 78, 100)), seen((50, 50, 78, 100), collided=True)], actions=["move_forward"]
    )
    assert all(c.plan.names[0] != "move_forward" for c in propose(OrbitProposer(), blocked))


def test_dead_reckoning_skips_blocked_steps():
    s = situation(
        history=[seen(), seen(), seen(collided=True), seen()],
        actions=["move_forward", "move_forward", "turn_left"],
    )
    poses = odometry(s)
    assert (
        poses[1] == pytest.approx((0.2, 0, 0))
        and poses[2] == poses[1]
        and poses[3] == pytest.approx((0.2, 0, 22.5))
    )
    s.history.append(seen())
    s.actions.append(Action("move_forward"))
    assert len(odometry(s)) == 5
    assert headings_seen(poses, poses[0]).sum() == 2
    assert turn_to(10, 350) == pytest.approx(20) and turn_to(-170, 170) == pytest.approx(20)


def test_geometry_of_views():
    assert pixel_bearing(0, 128, 90) == pytest.approx(45)
    assert pixel_bearing(64, 128, 90) == 0
    assert bearing(np.array([0.0, 0.0, 90.0]), np.array([0.0, 1.0])) == pytest.approx(0)


def test_too_many_plans_to_enumerate_and_continuous_vocabularies():
    with pytest.raises(InputError, match="too many to enumerate"):
        all_plans(NAVIGATION, 12)
    box = Vocabulary("box", fields=("x",), low=(0.0,), high=(1.0,))
    with pytest.raises(InputError, match="named primitives"):
        all_plans(box, 2)


def test_selection_needs_a_margin():
    candidates = [Candidate(NAVIGATION.plan([n])) for n in ("turn_left", "turn_right")]
    assert first_proposal(candidates).chosen == 0
    assert select(candidates, [0.5, 0.505], 0.02, "x").chosen == 0
    assert select(candidates, [0.5, 0.6], 0.02, "x").chosen == 1


def test_agents_by_name():
    for name in set(AGENTS.names()) - {"vlm", "diffusion"}:  # a server, an arm
        # One that does not look at all can only answer questions.
        task = "embodied-qa" if name == "blind" else "image-goal"
        assert AGENTS.create(name, task=task).name == name
    with pytest.raises(InputError, match="register your own"):
        AGENTS.create("heuristic", task="juggling")


def test_goal_seeker_looks_around_first_and_stops_at_the_goal():
    agent = AGENTS.create("heuristic", task="image-goal")
    rng = np.random.default_rng(0)
    other = Observation(
        rng.integers(0, 255, (128, 128, 3), dtype=np.uint8), extra={"collided": np.array(False)}
    )
    s = situation(horizon=5, history=[other])
    candidates = propose(agent.proposer, s)
    assert candidates[0].plan.names[0] == "turn_left" and len(candidates) == 3
    decision = asyncio.run(agent.reviser.revise(s, candidates))
    assert not decision.stop and decision.chosen == 0
    there = situation(horizon=5)  # the view is the goal picture
    assert asyncio.run(agent.reviser.revise(there, propose(agent.proposer, there))).stop


def test_goal_seeker_that_was_led_away_does_not_look_around_for_ever():
    agent = AGENTS.create("heuristic", task="image-goal")
    rng = np.random.default_rng(0)
    away, turns = ["move_forward"] * 3, ["turn_left"] * 15
    frames = [
        Observation(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8), extra={"collided": np.array(False)})
        for _ in range(len(away + turns) + 1)
    ]
    still = situation(horizon=3, history=frames[:8], actions=(away + turns)[:7])
    assert propose(agent.proposer, still)[0].plan.names == ("turn_left",) * 3
    done = situation(horizon=3, history=frames, actions=away + turns)
    assert any("move_forward" in c.plan.names for c in propose(agent.proposer, done)[:1])


def test_clarity_is_the_top_probability_of_a_view_alone():
    recogniser = AGENTS.create("heuristic", task="active-recognition").answerer.evidence.recogniser
    logits = np.random.default_rng(0).normal(0, 3, (7, len(recogniser.classes))).astype(np.float32)
    alone = [recogniser.probabilities(row[None]).max() for row in logits]
    np.testing.assert_allclose(recogniser.clarity(logits), alone, rtol=1e-9)
    assert recogniser.clarity(logits[:0]).shape == (0,)


class Teller:
    """A stand-in for the recogniser's eyes: the picture's first pixel says which class, and how clearly."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.looks = evidence, 0

    def __call__(self, perception, images, boxes, hfov):
        self.looks += len(images)
        logits = np.zeros((len(images), len(self.evidence.recogniser.classes)), np.float32)
        for row, image in zip(logits, images):
            row[image[0, 0, 0]] = image[0, 0, 1]
        return logits


def telling(label: int, strength: int) -> Observation:
    image = BLACK.copy()
    image[0, 0, :2] = label, strength
    return Observation(image, extra={"target_box": np.array([40, 40, 80, 80.0]), "collided": np.array(False)})


@pytest.fixture
def teller(monkeypatch):
    agent = AGENTS.create("heuristic", task="active-recognition")
    teller = Teller(agent.answerer.evidence)
    monkeypatch.setattr(agent.answerer.evidence.recogniser, "look", teller)
    teller.agent = agent
    return teller


def imagining(*views: tuple[str, list[Observation]]) -> list[Candidate]:
    return [Candidate(NAVIGATION.plan([a] * len(v)), rollout=Rollout(tuple(v))) for a, v in views]


def test_imagination_is_believed_as_far_as_it_came_true(teller):
    classes = teller.agent.answerer.evidence.recogniser.classes

    def believe(came: Observation) -> tuple[float, float]:
        s = situation(history=[telling(0, 1)])
        s.goal = Goal("?", classes=classes)
        candidates = imagining(("turn_left", [telling(1, 12)] * 4), ("turn_right", [telling(2, 3)] * 4))
        asyncio.run(teller.agent.answerer.answer(s))
        asyncio.run(teller.agent.answerer.answer(s, candidates))
        decision = asyncio.run(teller.agent.reviser.revise(s, candidates))
        assert decision.chosen == 0 and decision.scores[0] > decision.scores[1]
        s.history.append(came)
        s.actions.append(Action("turn_left"))
        s.decision += 1
        real = asyncio.run(teller.agent.answerer.answer(s))
        candidates = imagining(("turn_left", [telling(1, 7)] * 4))
        belief = asyncio.run(teller.agent.answerer.answer(s, candidates))
        assert asyncio.run(teller.agent.answerer.answer(s)) == real  # imagination is not remembered
        assert belief != real
        return Trust(s, EvidenceConfig()).value, dict(belief.ranking).get(classes[1], 0.0)

    true, false = believe(telling(1, 12)), believe(telling(3, 12))
    assert true[0] == pytest.approx(0.75, abs=0.01) and false[0] == pytest.approx(0.25, abs=0.01)
    assert true[1] > 0.9 > 0.6 > false[1]
    gone = Observation(BLACK, extra={"collided": np.array(False)})
    assert believe(gone)[0] == pytest.approx(0.25)


def test_each_view_is_looked_at_once(teller):
    s = situation(history=[telling(0, 1)])
    s.goal = Goal("?", classes=teller.agent.answerer.evidence.recogniser.classes)
    candidates = imagining(("turn_left", [telling(1, 2)] * 4), ("turn_right", [telling(2, 2)] * 4))
    asyncio.run(teller.agent.answerer.answer(s))
    asyncio.run(teller.agent.answerer.answer(s, candidates))
    asyncio.run(teller.agent.reviser.revise(s, candidates))
    asyncio.run(teller.agent.answerer.answer(s))
    assert teller.looks == 1 + 8


def test_a_plan_that_loses_the_target_settles_nothing(teller):
    s = situation(history=[telling(0, 1)])
    away = [Observation(BLACK)] * 4
    candidates = imagining(("turn_left", away), ("turn_right", [telling(2, 3)] * 4))
    decision = asyncio.run(teller.agent.reviser.revise(s, candidates))
    assert decision.chosen == 1 and decision.scores[0] == 0.0
    candidates = [Candidate(c.plan) for c in candidates]
    assert asyncio.run(teller.agent.reviser.revise(s, candidates)).chosen == 0


def test_certainty_runs_from_nothing_to_all(teller):
    recogniser = teller.evidence.recogniser
    flat = np.zeros((1, len(recogniser.classes)), np.float32)
    sure = flat.copy()
    sure[0, 3] = 60
    assert recogniser.certainty(flat)[0] == pytest.approx(0, abs=1e-9)
    assert recogniser.certainty(sure)[0] > 0.99
    assert recogniser.certainty(flat[:0]).shape == (0,)


def test_the_recogniser_is_part_of_a_runs_identity():
    assert len(AGENTS.create("heuristic", task="active-recognition").settings["recogniser"]) == 32
