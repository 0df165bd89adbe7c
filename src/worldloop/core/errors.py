"""Errors a user can act on. Every message says what is wrong and what to do about it."""

from __future__ import annotations


class WorldloopError(Exception):
    """Base of every error worldloop raises on purpose; the command line prints it without a traceback."""


class InputError(WorldloopError):
    """What the caller gave (argument, file, folder, asset) cannot be used."""


class SplitError(InputError):
    """Scenes of one split were used where another split is required."""


class MissingExtraError(WorldloopError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an optional dependency: pip install "worldloop[{extra}]"')


class ModelError(WorldloopError):
    """A world model broke its contract (frame count, shape, dtype, NaN) or failed to run."""


class UnaskableError(ModelError):
    """The question lies outside what a world model was made for (an action it never saw): it is unfit for it, and did not fail."""


class ServerError(WorldloopError):
    """A server could not be reached, refused the request or gave no usable reply."""


class LimitExceededError(WorldloopError):
    """An episode used up one of its limits (steps, calls, tokens, seconds)."""


class ExecutorError(WorldloopError):
    """The processes that should do the work could not be started, or kept dying."""


class RunFolderError(InputError):
    """A run folder is damaged, belongs to another specification, or is not a run folder."""
