"""The vocabulary, seeds, registry and errors that every other room builds on."""

from worldloop.core.actions import Action, Plan, Primitive, Vocabulary
from worldloop.core.errors import (
    InputError,
    LimitExceededError,
    MissingExtraError,
    ModelError,
    RunFolderError,
    SplitError,
    WorldloopError,
)
from worldloop.core.registry import Registry, parse_spec
from worldloop.core.seeds import derive_seed, generator
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
    "Belief",
    "Candidate",
    "Decision",
    "Environment",
    "Episode",
    "InputError",
    "LimitExceededError",
    "MissingExtraError",
    "ModelCard",
    "ModelError",
    "Observation",
    "Plan",
    "Primitive",
    "Query",
    "Registry",
    "Rollout",
    "RunFolderError",
    "Simulator",
    "SplitError",
    "Vocabulary",
    "WorldModel",
    "WorldloopError",
    "derive_seed",
    "generator",
    "parse_spec",
]
