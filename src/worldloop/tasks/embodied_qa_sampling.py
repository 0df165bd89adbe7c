"""How the shipped questions were chosen: as many of each category, and of each answer as the houses allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from worldloop.core import Episode, InputError, derive_seed, generator
from worldloop.tasks.embodied_qa_facts import SceneFacts
from worldloop.tasks.embodied_qa_question import KINDS, Question
from worldloop.tasks.embodied_qa_questions import questions

TASK = "embodied-qa"
TURN = 22.5
FARTHEST = 16.0
"""Metres; an answer that takes a longer walk is not asked for."""
TRIES = 12
SHARES = {
    "exists room": 0.6, "exists house": 0.4, "count room": 0.5, "count house": 0.5, "colour": 0.5, "floor": 0.3,
    "height": 0.2, "on top": 0.4, "beside": 0.35, "on the wall": 0.25, "which room": 0.65, "standing on": 0.35,
    "anything on": 0.25, "where to": 0.35, "what for": 0.25, "seat": 0.15, "knowledge": 1.0,
}  # fmt: skip
"""Share of each pattern in its category, as far as the houses allow."""
USUAL = 0.5, 0.3
"""Largest share of questions, asked for yes or no and others, whose answer is the most frequent one in such houses."""


class Chooser:
    """Picks, question by question, what the list so far has least of."""

    def __init__(self, seed: int, pools: Iterable[Sequence[Question]]) -> None:
        self.seed = seed
        self.counts: Counter[tuple[str, ...]] = Counter()
        found: dict[tuple[str, str], Counter[str]] = {}
        for question in (q for pool in pools for q in pool):
            found.setdefault((question.form, question.about), Counter())[question.answer] += 1
        self.usual = {key: max(sorted(answers), key=lambda a: answers[a]) for key, answers in found.items()}
        """What one who has not looked would answer, by pattern and what the question is about."""

    def choose(self, scene: str, pool: Sequence[Question], kind: str) -> Question | None:
        """The most wanted question of a category from a house's pool, or None if it has none."""
        asked = [q for q in pool if q.kind == kind]
        return min(asked, key=lambda q: self._wanted(scene, q), default=None)

    def take(self, question: Question) -> None:
        """Count a question as chosen."""
        q = question
        for key in ((q.kind,), ("form", q.form), ("answer", q.form, q.answer), ("about", q.form, q.about)):
            self.counts[key] += 1
        self.counts["usual", q.form] += self._usual(q)
        self.counts["both", q.form, q.about, q.answer] += 1
        self.counts["text", q.text] += 1

    def _usual(self, q: Question) -> bool:
        return self.usual.get((q.form, q.about)) == q.answer

    def _wanted(self, scene: str, q: Question) -> tuple[float, ...]:
        count, most = self.counts, USUAL[q.answer not in ("yes", "no")]
        # A pattern's answers are equally frequent; so are those about one category, or its name would tell.
        return (
            round(count["form", q.form] / SHARES[q.form]),
            # Who guesses what is most frequent should not be right more often than by chance.
            self._usual(q) and count["usual", q.form] + 1 > most * (count["form", q.form] + 1),
            count["answer", q.form, q.answer],
            count["both", q.form, q.about, q.answer] - 0.5 * count["about", q.form, q.about],
            count["about", q.form, q.about] + count["text", q.text],
            derive_seed(self.seed, scene, q.text),
        )


def sample_questions(scenes: Sequence[str], count: int, budget: int, seed: int = 0) -> list[Episode]:
    """`count` episodes, as many of each category, spread over scenes that take turns.

    Deterministic; InputError when the houses do not yield so many.
    """
    facts = {scene: SceneFacts.of(scene) for scene in scenes}
    pools = {scene: questions(facts[scene]) for scene in scenes}
    out: list[Episode] = []
    chooser, numbers = Chooser(seed, pools.values()), Counter[str]()
    for turn in range(8 * count):
        if len(out) == count:
            return out
        scene = scenes[turn % len(scenes)]
        order = sorted(range(len(KINDS)), key=lambda k: (chooser.counts[KINDS[k],], (k + turn) % len(KINDS)))
        for kind in (KINDS[k] for k in order):
            question = chooser.choose(scene, pools[scene], kind)
            if question is None:
                continue
            # Asked or not to be asked: it does not come up again.
            pools[scene] = [q for q in pools[scene] if q.about != question.about or q.form != question.form]
            number = numbers[scene]
            name = f"eqa-{scene.removeprefix('house/').replace('/', '-')}-{number}"
            episode = _episode(facts[scene], name, question, budget, generator(seed, TASK, scene, number))
            if episode is not None:
                numbers[scene] += 1
                chooser.take(question)
                out.append(episode)
                break
    raise InputError(f"{len(scenes)} houses yield {len(out)} questions, not {count}; name more houses")


def _episode(
    facts: SceneFacts, name: str, question: Question, budget: int, rng: np.random.Generator
) -> Episode | None:
    """The question asked from a place from which its answer is within reach, mostly not within sight."""
    nav = facts.loaded.nav
    best: tuple[float, tuple[float, float], float] | None = None
    for _ in range(TRIES):
        x, y = (round(float(v), 4) for v in nav.random_free_point(rng))
        if not nav.is_free((x, y)):
            continue
        shortest = facts.walk_to_see(facts.distances((x, y)), question.evidence, question.search)
        yaw = TURN * int(rng.integers(16))
        if shortest <= FARTHEST and (best is None or shortest > best[0]):
            best = shortest, (x, y), yaw
        # Most are asked from afar, where there is such a place.
        if best is not None and (best[0] > 2.0 or rng.random() < 0.1):
            break
    if best is None:
        return None
    shortest, (x, y), yaw = best
    goal: dict[str, Any] = {
        "question": question.text,
        "answer": question.answer,
        "extra_answers": list(question.extra_answers),
        "category": question.kind,
        "form": question.form,
        "evidence": list(question.evidence),
        "shortest": round(shortest, 3),
    }
    return Episode(
        name,
        TASK,
        facts.house.id,
        derive_seed(0, name) % 2**31,
        {"position": [x, y], "yaw_deg": yaw},
        goal,
        budget,
    )
