"""How good an answer is, 1 to 5, as OpenEQA asks it of a judge (Majumdar et al., CVPR 2024).

A judge has one method. `scripted` compares words; `scripted-embedding` grades what remains by a sentence encoder; a
language model is asked as `llm`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from worldloop.core import Registry
from worldloop.envs.house.words import COLOURS

WORST, BEST = 1, 5
_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_SKIPPED = {
    "a", "an", "the", "it", "its", "is", "are", "there", "of", "in", "on", "at", "to", "made", "some", "i", "see", "think",
    "that", "this", "they", "you", "can", "could", "one's",
}  # fmt: skip
_SAME = {
    "gray": "grey",
    "couch": "sofa",
    "yeah": "yes",
    "yep": "yes",
    "nope": "no",
    "colored": "",
    "coloured": "",
}
_NEAR_COLOURS = (
    {"brown", "beige"}, {"brown", "orange"}, {"beige", "white"}, {"grey", "white"}, {"grey", "black"}, {"red", "pink"},
    {"blue", "purple"}, {"pink", "purple"}, {"orange", "red"}, {"orange", "yellow"}, {"yellow", "beige"}, {"brown", "red"},
    {"black", "brown"},
)  # fmt: skip


class Judge(Protocol):
    """Says how good an answer is."""

    name: str
    """Part of the task's version: scores of two judges are not compared."""

    def judge(self, question: str, accepted: Sequence[str], given: str) -> int:
        """1 (wrong) to 5 (as good as one of the accepted answers).

        Raises when it cannot tell; a failure is never a score.
        """
        ...


def score_of(grade: int) -> float:
    """0 to 100 from a grade: 100 (clip(grade, 1, 5) - 1) / 4, as in OpenEQA."""
    return 100.0 * (min(max(grade, WORST), BEST) - WORST) / (BEST - WORST)


def words_of(text: str) -> list[str]:
    """The words that matter, in lower case, in the singular, numbers as digits."""
    words = re.findall(r"[a-z]+|\d+", text.lower().replace("'s", ""))
    words = [_SAME.get(w, w) for w in words if w not in _SKIPPED]
    words = [str(_NUMBERS.index(w)) if w in _NUMBERS else w for w in words]
    return [w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words if w]


class ScriptedJudge:
    """`scripted`: equal words are 5; what is not equal is graded by rules, or by likeness up to 3.

    A number one off is 2; a colour next to the right one is 3; yes for no is 1. Anything else gets by the likeness of
    its letters (cosine of three-letter groups) at most a 3.
    """

    name = "scripted"

    def judge(self, question: str, accepted: Sequence[str], given: str) -> int:
        """See the class; an empty answer is 1."""
        said = words_of(given)
        return max((self._against(words_of(right), said, right, given) for right in accepted), default=WORST)

    def likeness(self, right: str, given: str) -> float:
        """-1 to 1: how much two answers are alike where no rule says it."""
        return _letters(right, given)

    def _against(self, right: list[str], said: list[str], whole: str, given: str) -> int:
        if not said or not right:
            return WORST
        if said == right or "".join(said) == "".join(right):
            return BEST
        if {right[0], said[0]} <= {"yes", "no"}:
            return BEST if right[0] == said[0] and len(right) == 1 else WORST
        numbers = [[int(w) for w in words if w.isdigit()] for words in (right, said)]
        if numbers[0]:
            if len(numbers[1]) != 1:
                return WORST
            return {0: BEST, 1: 2}.get(abs(numbers[0][0] - numbers[1][0]), WORST)
        if {right[0], said[0]} & {"yes", "no"}:
            return WORST
        if _contains(said, right):
            # The right answer with more around it; a list of guesses is not one answer.
            return (
                BEST if len(said) <= len(right) + 3 and not {"or", "and", "not", "either"} & set(said) else 2
            )
        if any({right[-1], said[-1]} == pair for pair in _NEAR_COLOURS):
            return 3
        if {right[-1], said[-1]} <= set(COLOURS):
            return WORST
        return _graded(self.likeness(whole, given))


def _graded(likeness: float) -> int:
    return 3 if likeness >= 0.8 else 2 if likeness >= 0.6 else WORST


def _contains(words: list[str], part: list[str]) -> bool:
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


def _letters(a: str, b: str) -> float:
    def groups(text: str) -> set[str]:
        padded = f"  {' '.join(words_of(text))} "
        return {padded[i : i + 3] for i in range(len(padded) - 2)}

    x, y = groups(a), groups(b)
    return len(x & y) / np.sqrt(len(x) * len(y)) if x and y else 0.0


class EmbeddingJudge(ScriptedJudge):
    """`scripted-embedding`: as `scripted`, with likeness by a sentence encoder (all-MiniLM-L6-v2)."""

    name = "scripted-embedding"

    def __init__(self) -> None:
        """MissingExtraError unless the encoder's package is installed."""
        from worldloop.tasks.embodied_qa_text import SentenceEncoder

        self._encoder = SentenceEncoder()

    def likeness(self, right: str, given: str) -> float:
        """Cosine of the two embeddings."""
        a, b = self._encoder.embed([right, given])
        return float(a @ b)


JUDGES: Registry[Judge] = Registry("judge")
JUDGES.register("scripted", ScriptedJudge, "compares words by rules; no model")
JUDGES.register("scripted-embedding", EmbeddingJudge, "the same, with likeness by a small sentence encoder")
JUDGES.register(
    "llm",
    "worldloop.agents.vlm.judge:llm",
    "a language model behind an OpenAI-compatible server: judge=llm,base_url=...,model=...",
)
