"""The vocabulary, seeds, registry and errors that every other room builds on."""

from worldloop.core.actions import Action, Plan, Primitive, Vocabulary
from worldloop.core.agent import Agent, Answerer, Goal, Proposer, Resource, Reviser, Situation
from worldloop.core.errors import (
    InputError,
    LimitExceededError,
    MissingExtraError,
    ModelError,
    RunFolderError,
    ServerError,
    SplitError,
    WorldloopError,
)
from worldloop.core.registry import Registry, parse_spec
from worldloop.core.seeds import derive_seed, generator
from worldloop.core.task import AsksQuestions, Budgets, Outcome, Score, Task
from worldloop.core.types import (
    PRIVILEGES,
    Belief,
    Candidate,
    Decision,
    Environment,
    Episode,
    ModelCard,
    Observation,
    Query,
    Rollout,
    Simulator,
    WorldModel,
)

__all__ = [
    "PRIVILEGES",
    "Action",
    "Agent",
    "Answerer",
    "AsksQuestions",
    "Belief",
    "Budgets",
    "Candidate",
    "Decision",
    "Environment",
    "Episode",
    "Goal",
    "InputError",
    "LimitExceededError",
    "MissingExtraError",
    "ModelCard",
    "ModelError",
    "Observation",
    "Outcome",
    "Plan",
    "Primitive",
    "Proposer",
    "Query",
    "Registry",
    "Resource",
    "Reviser",
    "Rollout",
    "RunFolderError",
    "Score",
    "ServerError",
    "Simulator",
    "Situation",
    "SplitError",
    "Task",
    "Vocabulary",
    "WorldModel",
    "WorldloopError",
    "derive_seed",
    "generator",
    "parse_spec",
]
