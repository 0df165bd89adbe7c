"""Agents by name. Each factory takes the task's name, and settings from the command line."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from worldloop.agents.goal_seeking import GoalConfig, GoalProposer, GoalReviser, GoalViews
from worldloop.agents.manipulator import ManipulationProposer, ManipulationReviser, ManipulatorConfig
from worldloop.agents.orbit import OrbitConfig, OrbitProposer
from worldloop.agents.perception.answerer import Recogniser, shipped_recogniser_path
from worldloop.agents.perception.free_space import shipped_free_space_path
from worldloop.agents.perception.service import Perception
from worldloop.agents.proposers import BeamProposer, EnumerateProposer, RandomProposer
from worldloop.agents.question_answering import (
    BlindAnswerer,
    ExploringProposer,
    PromiseReviser,
    QuestionAnswerer,
    QuestionSenses,
)
from worldloop.agents.question_lore import HouseLore, shipped_lore_path
from worldloop.agents.recognition import CertaintyReviser, Evidence, EvidenceConfig, RecogniserAnswerer
from worldloop.core import Agent, InputError, Proposer, Reviser

PROPOSERS = {"random": RandomProposer, "enumerate": EnumerateProposer, "beam": BeamProposer}


@lru_cache(maxsize=1)
def shared_perception() -> Perception:
    """One perception service for the process: its networks and its memory are large."""
    return Perception()


def heuristic(task: str) -> Agent:
    """The scripted agent of a task: it knows how to look, and revises by what a model imagines."""
    return _agent(task, "heuristic", None)


def random(task: str) -> Agent:
    """Random plans, the same reviser."""
    return _agent(task, "random", RandomProposer())


def enumerate_(task: str) -> Agent:
    """One plan per primitive, the same reviser."""
    return _agent(task, "enumerate", EnumerateProposer())


def beam(task: str) -> Agent:
    """Plans that end far apart, the same reviser."""
    return _agent(task, "beam", BeamProposer())


def blind(task: str) -> Agent:
    """Answers without looking: what is most often right in training houses."""
    if task != "embodied-qa":
        raise InputError(f"agent 'blind' answers questions (embodied-qa); it has nothing to say in {task!r}")
    settings = {"lore": _content_hash(shipped_lore_path())}
    answerer = BlindAnswerer(HouseLore.load())
    senses = question_senses()
    return Agent(
        "blind",
        "scripted, sees nothing",
        ExploringProposer(senses),
        PromiseReviser(senses),
        answerer,
        settings=settings,
    )


@lru_cache(maxsize=1)
def question_senses() -> QuestionSenses:
    """What all episodes of question answering share."""
    return QuestionSenses(shared_perception(), Recogniser.load(shipped_recogniser_path()))


def _content_hash(path: Path) -> str:
    """Another recogniser is another agent: runs of the two must not be mixed."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _agent(task: str, name: str, proposer: Proposer | None) -> Agent:
    if task == "manipulation":
        if proposer is not None:
            raise InputError(
                f"agent {name!r} proposes named primitives; manipulation needs --agent heuristic"
            )
        config, words = ManipulatorConfig(), "scripted (no VLM), aims badly on purpose"
        return Agent(
            name, words, ManipulationProposer(config), ManipulationReviser(config), settings=asdict(config)
        )
    perception = shared_perception()
    reviser: Reviser
    if task == "active-recognition":
        evidence = Evidence(perception, config=EvidenceConfig())
        settings = {
            "orbit": asdict(OrbitConfig()),
            "evidence": asdict(evidence.config),
            "recogniser": _content_hash(shipped_recogniser_path()),
        }
        answerer, reviser = RecogniserAnswerer(evidence), CertaintyReviser(evidence)
        return Agent(
            name, "scripted (no VLM)", proposer or OrbitProposer(), reviser, answerer, settings=settings
        )
    if task == "image-goal":
        views = GoalViews(perception, GoalConfig())
        reviser = GoalReviser(views)
        settings = {"goal": asdict(views.config)}
        return Agent(name, "scripted (no VLM)", proposer or GoalProposer(views), reviser, settings=settings)
    if task == "embodied-qa":
        senses = question_senses()
        settings = {
            "memory": asdict(senses.memory_config),
            "exploring": asdict(senses.exploring),
            "choice": asdict(senses.config),
            "recogniser": _content_hash(shipped_recogniser_path()),
            "free_space": _content_hash(shipped_free_space_path()),
            "lore": _content_hash(shipped_lore_path()),
        }
        return Agent(
            name,
            "scripted (no VLM)",
            proposer or ExploringProposer(senses),
            PromiseReviser(senses),
            QuestionAnswerer(senses),
            settings=settings,
        )
    raise InputError(
        f"agent {name!r} knows active-recognition, image-goal, embodied-qa and manipulation, not {task!r}; take "
        "--agent shooting, which fits any task, or register your own"
    )
