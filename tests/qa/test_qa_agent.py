"""The agent: it understands the questions, walks where it believes the floor to be, and trusts what comes true."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.actions import NAVIGATION, intended_path
from worldloop.agents import AGENTS
from worldloop.agents.perception.free_space import (
    BEARINGS,
    CELLS,
    CHANNELS,
    FARTHEST,
    FreeSpace,
    column_vectors,
)
from worldloop.agents.question_answering import PromiseReviser, QuestionConfig
from worldloop.agents.question_answers import Answers
from worldloop.agents.question_exploring import ExploringConfig, FloorMap, cell_of, steer, walk
from worldloop.agents.question_lore import HouseLore
from worldloop.agents.question_memory import HouseMemory, MemoryConfig
from worldloop.agents.question_parsing import Asked, parse_question
from worldloop.core import Candidate, Goal, InputError, Observation, Rollout, Situation, generator
from worldloop.engine import RunSettings, run
from worldloop.envs.house.generate import CATEGORIES
from worldloop.models import MODELS
from worldloop.runs import read_run
from worldloop.tasks import TASKS
from worldloop.tasks.episodes import load_episodes, write_episodes

FORMS = {
    "exists room": "exists", "exists house": "exists", "count room": "count", "count house": "count", "colour": "colour",
    "floor": "floor", "height": "taller", "on top": "on top", "beside": "beside", "on the wall": "hung",
    "which room": "room of", "standing on": "stands on", "anything on": "anything on", "where to": "room of",
    "what for": "which of", "seat": "which of", "knowledge": "any of",
}  # fmt: skip


@pytest.mark.parametrize("split", ["val", "mini", "test"])
def test_every_shipped_question_is_understood(split):
    for episode in load_episodes("embodied-qa", split):
        asked = parse_question(episode.goal["question"])
        assert asked.form == FORMS[episode.goal["form"]], episode.goal["question"]
        assert asked.categories or asked.form == "floor", episode.goal["question"]
        assert (asked.room is not None) == ("room" in episode.goal["form"].split()[-1:] or asked.form in ("floor", "hung")
                or " in the " in episode.goal["question"] or "keeps the" in episode.goal["question"]) or asked.form == "room of"  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=120))
def test_any_text_is_parsed(text):
    asked = parse_question(text)
    assert isinstance(HouseLore.load().guess(asked), str)


def test_free_space_reads_rows_one_by_one(tmp_path):
    reading = FreeSpace.load()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (128, 128, 3), dtype=np.uint8) for _ in range(3)]
    metres = reading.look(images)
    assert metres.shape == (3, len(BEARINGS)) and (metres >= 0).all() and (metres <= FARTHEST).all()
    assert np.array_equal(reading.look(images[1:2])[0], metres[1])
    assert reading.look([]).shape == (0, len(BEARINGS))
    assert reading.card["explained_variance"] > 0.4
    reading.save(tmp_path / "again.safetensors")
    assert np.array_equal(FreeSpace.load(tmp_path / "again.safetensors").look(images), metres)
    (tmp_path / "again.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="free space"):
        FreeSpace.load(tmp_path / "again.safetensors")


def test_columns_belong_to_bearings():
    grid = np.zeros((1, CELLS, CELLS, CHANNELS), np.float32)
    grid[0, :, 0] = 1.0
    parts = column_vectors(grid)[0, :, : CELLS * CHANNELS].mean(axis=1)
    # The first column of the picture is to the left.
    assert parts[0] > 0.5 and parts[-1] == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 15))
def test_steering_ends_at_the_place(x, y, turn):
    pose = (0.0, 0.0, 22.5 * turn)
    actions = steer(pose, [(x, y)], 40)
    path = np.array(intended_path(NAVIGATION.plan(actions), *pose))
    assert len(actions) == 40
    assert np.hypot(*(path[:, :2] - (x, y)).T).min() < 0.3


def _map(rows: dict[tuple[float, float], float]) -> FloorMap:
    floor = FloorMap(FreeSpace.load(), ExploringConfig())
    for (x, y), odds in rows.items():
        floor.odds[cell_of(x, y)] = odds
    return floor


def test_ways_go_round_what_was_found_blocked():
    corridor = {(0.1 + 0.2 * i, 0.1 + 0.2 * j): 3.0 for i in range(10) for j in range(-3, 4)}
    free = _map(corridor)
    straight = free.ways((0.1, 0.1, 0.0)).to(cell_of(1.9, 0.1))
    assert len(walk(free, straight)) == 1
    blocked = _map(corridor | {(0.9, 0.1 + 0.2 * j): -6.0 for j in range(-3, 3)})
    around = blocked.ways((0.1, 0.1, 0.0)).to(cell_of(1.9, 0.1))
    assert around != straight and around[-1] == straight[-1]
    assert all(blocked.odds[c] > 0 for c in around)


class Namer:
    """Recognises by the colour of the middle of a box: the red value is the number of the class."""

    classes = CATEGORIES

    def look(self, perception, images, boxes, hfov):
        rows = []
        for image, box in zip(images, boxes):
            row = np.zeros(len(CATEGORIES), np.float32)
            row[min(int(image[int((box[1] + box[3]) / 2), int((box[0] + box[2]) / 2), 0]), len(row) - 1)] = (
                12.0
            )
            rows.append(row)
        return np.stack(rows)

    def shares(self, logits):
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def clarity(self, logits):
        return self.shares(logits).max(axis=1)

    def probabilities(self, logits, weights=None, allowed=()):
        mean = (logits * weights[:, None]).sum(axis=0) / weights.sum()
        return self.shares(mean[None])[0]


def view(things: dict[int, tuple[str, tuple[int, int, int, int]]]) -> Observation:
    rgb = np.full((128, 128, 3), 255, np.uint8)
    for category, (x0, y0, x1, y1) in things.values():
        rgb[y0:y1, x0:x1] = (CATEGORIES.index(category), 90, 40)
    boxes = np.array([b for _, b in things.values()], np.float32).reshape(-1, 4)
    return Observation(rgb, extra={"object_boxes": boxes, "object_tracks": np.array(list(things), np.int32)})


async def _compute(function, *args):
    return function(*args)


def situation(question: str, *views: Observation) -> Situation:
    out = Situation(
        Goal(question), NAVIGATION, 36, 3, 14, 7, _compute, lambda *p: generator(0, *p), list(views)
    )
    out.actions = [NAVIGATION.plan(["turn_left"]).actions[0]] * (len(views) - 1)
    return out


def answer(question: str, *views: Observation, imagined=()):
    now = situation(question, *views)
    memory = HouseMemory(Namer(), None, MemoryConfig())

    async def go():
        await memory.take_in(now)
        if imagined:
            memory.remember(await memory.imagine(now, imagined))
        return Answers(memory, HouseLore.load(), now).belief(parse_question(question))

    return asyncio.run(go()), memory


ROOM = {
    1: ("table", (20, 70, 70, 110)), 2: ("vase", (40, 50, 50, 74)), 3: ("chair", (75, 70, 95, 118)),
    4: ("chair", (98, 72, 118, 118)), 5: ("refrigerator", (2, 30, 18, 112)), 6: ("stove", (100, 40, 127, 70)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Is there a vase in this house?", "yes"),
        ("Is there a piano in this house?", "no"),
        ("How many chairs are there in this house?", "2"),
        ("What is standing on the table?", "vase"),
        ("What is the vase standing on?", "table"),
        ("Is anything standing on the table?", "yes"),
        ("In which room is the stove?", "kitchen"),
        ("Does it look as if a baby lived here?", "no"),
        ("What could I sit on in the kitchen?", "chair"),
        ("Is the refrigerator itself taller than 1.3 metres?", "yes"),
    ],
)
def test_answers_from_what_was_seen(question, right):
    assert answer(question, view(ROOM), view(ROOM))[0].answer == right


def test_a_thing_seen_often_is_one_thing():
    assert answer("How many chairs are there in this house?", *[view(ROOM)] * 6)[0].answer == "2"


def imagined(things) -> list[Candidate]:
    plan = NAVIGATION.plan(["turn_left"] * 3)
    return [Candidate(plan, rollout=Rollout((view(things),) * 3))]


def test_what_is_only_imagined_counts_as_far_as_it_is_believed():
    question = "Is there a piano in this house?"
    more = ROOM | {9: ("piano", (20, 10, 60, 40))}
    belief, memory = answer(question, view(ROOM), imagined=imagined(more))
    assert memory.trust == 0.5
    memory.checks = [1.0] * 20
    sure = Answers(memory, HouseLore.load(), situation(question, view(ROOM))).belief(parse_question(question))
    assert sure.answer == "yes" and sure.confidence > 0.9
    memory.checks = [0.0] * 20
    doubt = Answers(memory, HouseLore.load(), situation(question, view(ROOM))).belief(
        parse_question(question)
    )
    assert doubt.answer == "no"
    assert belief.confidence < sure.confidence


@pytest.mark.parametrize(("came", "trust"), [("piano", 0.75), ("sofa", 0.26)])
def test_trust_follows_what_comes_true(came, trust):
    now = situation("Is there a piano in this house?", view({}))
    memory = HouseMemory(Namer(), None, MemoryConfig())

    async def go():
        await memory.take_in(now)
        await memory.imagine(now, imagined({9: ("piano", (20, 10, 60, 40))}))
        now.history += [view({9: (came, (20, 10, 60, 40))})] * 3
        now.actions += list(NAVIGATION.plan(["turn_left"] * 3).actions)
        await memory.take_in(now)

    asyncio.run(go())
    assert len(memory.checks) == 1 and memory.trust == pytest.approx(trust, abs=0.02)


def test_an_imagined_thing_is_looked_at_twice_and_again_only_when_larger():
    now = situation("Is there a piano in this house?", view({}))
    memory, seen = HouseMemory(Namer(), None, MemoryConfig()), []
    look = memory.recogniser.look
    memory.recogniser.look = lambda p, images, boxes, hfov: seen.extend(boxes) or look(p, images, boxes, hfov)

    async def imagine(box):
        now.decision += 1
        return (await memory.imagine(now, imagined({9: ("piano", box)})))[0]

    async def go():
        await memory.take_in(now)
        boxes = [(20, 10, 60, 40)] * 5 + [(20, 10, 62, 41), (20, 10, 70, 50), (20, 10, 70, 50)]
        return [await imagine(box) for box in boxes]

    found = asyncio.run(go())
    assert [len(f) for f in found] == [1] * 8, "a thing that was not looked at again is still told of"
    assert [tuple(map(int, b)) for b in seen] == [(20, 10, 60, 40)] * 2 + [(20, 10, 70, 50)]
    assert found[4][0][1] is found[5][0][1], "the best look so far stands for the others"
    assert found[7][0][1] is found[6][0][1] and found[6][0][1].area == 2000
    assert not memory.things, "imagination is no evidence until it is remembered"
    memory.remember(found)
    assert len(memory.things[9].imagined) == 3 and not memory.things[9].looks


@pytest.mark.parametrize("trusted", [True, False])
def test_steps_that_are_imagined_to_be_blocked_are_left_out(trusted):
    senses = SimpleNamespace(config=QuestionConfig(), asked=lambda s: parse_question(s.goal.text))
    now = situation("Is there a piano in this house?", view(ROOM))
    memory = HouseMemory(Namer(), None, MemoryConfig(), checks=[1.0 if trusted else 0.0] * 10)
    senses.memory = lambda s: memory
    free = view({1: ("table", (10, 70, 90, 120))})
    plan = NAVIGATION.plan(["move_forward", "move_forward", "turn_left"])
    candidates = [Candidate(plan, rollout=Rollout((free, free, view(ROOM))))]

    async def go():
        await memory.take_in(now)
        return await PromiseReviser(senses).revise(now, candidates)

    decision = asyncio.run(go())
    names = [a.name for a in decision.actions]
    assert names == (
        ["move_forward", "turn_left"] if trusted else ["move_forward", "move_forward", "turn_left"]
    )


def test_the_blind_agent_looks_at_nothing():
    agent = AGENTS.create("blind", task="embodied-qa")
    belief = asyncio.run(agent.answerer.answer(situation("In which room is the toilet?")))
    assert belief.answer == "bathroom" and belief.confidence == 1
    with pytest.raises(InputError, match="embodied-qa"):
        AGENTS.create("blind", task="image-goal")


def test_runs_do_not_depend_on_concurrency_and_proposals_not_on_the_model(tmp_path):
    short = [replace(e, budget=3) for e in load_episodes("embodied-qa", "mini")[:2]]
    path = tmp_path / "short.json"
    write_episodes(path, "embodied-qa", "short", short, "")
    found = {}
    for name, model, concurrency in (("a", "none", 1), ("b", "none", 4), ("c", "oracle", 2)):
        task, agent = TASKS.create("embodied-qa"), AGENTS.create("heuristic", task="embodied-qa")
        settings_ = RunSettings(
            "embodied-qa", model, split=str(path), use="perceive", concurrency=concurrency, keep_frames=1
        )
        run(task, MODELS.create(model), agent, settings_, tmp_path / name)
        found[name] = list(read_run(tmp_path / name).records())
    assert all(e.episode.status == "finished" for entries in found.values() for e in entries)
    facts = {
        n: [
            (
                e.episode.answer,
                e.episode.score,
                [d.actions for d in e.decisions],
                [c.plan for c in e.candidates],
            )
            for e in entries
        ]
        for n, entries in found.items()
    }
    assert facts["a"] == facts["b"]
    for plain, oracle in zip(facts["a"], facts["c"]):
        shared = min(len(plain[3]), len(oracle[3]))
        assert shared and plain[3][:shared] == oracle[3][:shared]
    assert '"accepted"' in found["a"][0].decisions[0].details_json


def test_unknown_questions_get_a_guess():
    belief, _ = answer("Why is the sky blue?", view(ROOM))
    assert belief.confidence == 0 and belief.answer
    assert math.isfinite(belief.confidence) and parse_question("").form == "other"
    assert parse_question("How many sofas are there in the study?") == Asked("count", ("sofa",), "study")
