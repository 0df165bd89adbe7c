"""Imagined walks on a server: step, fork, step on. A walk whose connection is lost is walked again, unseen."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from worldloop.core import InputError, ModelError, Plan, Rollout, ServerError, Vocabulary
from worldloop.models.remote import messages
from worldloop.models.remote.line import Line, LostError
from worldloop.models.remote.wire import WireError
from worldloop.models.retrying import PassingError, persist

PASSING_KINDS = ("busy", "time", "fault")


@dataclass(frozen=True)
class Patience:
    """How long a session tries."""

    who: str
    """How messages call the server."""
    timeout: float
    """Seconds for a step, attempts and pauses included."""
    retries: int


@dataclass(frozen=True)
class Trail:
    """What led a session to where it is: with it, the same place is reached again on a new connection."""

    context: dict[str, Any]
    seed: int
    moves: tuple[list[Any] | int, ...] = ()
    """Actions of a step, or the seed of a fork."""


class RemoteSession:
    """A walk that a server imagines on. Its steps are those of the model, and the same seed walks the same way.

    A context manager. Threads may use several sessions at once; steps of one of them wait for one another.
    """

    def __init__(self, line: Line, patience: Patience, vocabulary: Vocabulary, trail: Trail) -> None:
        """Sessions come from `RemoteModel.session` and `fork`."""
        self._line, self._patience, self.vocabulary, self._trail = line, patience, vocabulary, trail
        self._lock = threading.Lock()
        self._name, self._life = "", -1
        self._closed = False

    def open(self) -> RemoteSession:
        """Set out now. ModelError when the model refuses, ServerError when there is no answer in time."""
        with self._lock:
            self._persist(self._reach)
        return self

    def step(self, actions: Plan | Sequence[Any]) -> Rollout:
        """What is seen along further actions of the vocabulary (names, or rows of numbers), one frame for each.

        ModelError when the model refuses or fails, and the session stays where it was; ServerError when there is no
        answer in time.
        """
        plan = actions if isinstance(actions, Plan) else self.vocabulary.plan(actions)
        if plan.vocabulary != self.vocabulary:
            raise InputError(
                f"this session takes actions of {self.vocabulary.name!r}, not {plan.vocabulary.name!r}"
            )
        told = messages.actions(plan.actions)

        def once(left: float) -> Rollout:
            self._reach(left)
            reply = self._ask({"op": "step", "session": self._name, "actions": told}, left)
            try:
                return messages.read_rollout(reply.get("rollout"))
            except WireError as error:
                self._life = -1  # the server has moved on, and nobody saw how
                raise PassingError(f"no usable reply: {error}") from None

        with self._lock:
            rollout = self._persist(once)
            self._moved(told)
        return rollout

    def fork(self, seed: int | None = None) -> RemoteSession:
        """A second session at the same place; with another seed, its next steps are drawn otherwise."""
        with self._lock:
            trail = self._trail
            other = RemoteSession(self._line, self._patience, self.vocabulary, trail)
            if seed is not None:
                other._moved(seed)
            request = {"op": "fork"} if seed is None else {"op": "fork", "seed": seed}

            def once(left: float) -> None:
                self._reach(left)
                other._name = self._ask({**request, "session": self._name}, left)["session"]
                other._life = self._life

            self._persist(once)
        return other

    def close(self) -> None:
        """Let the server forget it. What cannot be told to the server ends with the connection."""
        with self._lock:
            name, life = self._name, self._life
            self._closed, self._name, self._life = True, "", -1
        if name:
            try:
                self._line.ask({"op": "close", "session": name}, self._patience.timeout, life)
            except LostError:
                return

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _moved(self, move: list[Any] | int) -> None:
        trail = self._trail
        self._trail = Trail(trail.context, trail.seed, (*trail.moves, move))

    def _persist(self, once: Any) -> Any:
        if self._closed:
            raise InputError("this session is closed; open another one")
        patience = self._patience
        ends = time.monotonic() + patience.timeout
        return persist(once, who=patience.who, ends=ends, retries=patience.retries)

    def _reach(self, left: float) -> None:
        """Be where the trail leads, on the connection that there is now."""
        if self._name and self._life == self._line.life:
            return
        ends, trail = time.monotonic() + left, self._trail
        opening = {"op": "reset", "context": trail.context, "seed": trail.seed}
        reply, life = self._line.ask(opening, left)
        name = str(self._told(reply)["session"])

        def ask(op: str, **fields: Any) -> dict[str, Any]:
            message = {"op": op, "session": name, **fields}
            return self._told(self._line.ask(message, max(ends - time.monotonic(), 0.001), life)[0])

        try:
            for move in trail.moves:
                if isinstance(move, int):
                    twin = str(ask("fork", seed=move)["session"])
                    ask("close")
                    name = twin
                else:
                    ask("step", actions=move)
        except (ModelError, ServerError):
            # Half of the way is no place to stay: the next attempt sets out anew.
            with contextlib.suppress(ServerError, ModelError):
                ask("close")
            raise
        self._name, self._life = name, life

    def _ask(self, message: dict[str, Any], left: float) -> dict[str, Any]:
        return self._told(self._line.ask(message, left, self._life)[0])

    def _told(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The reply itself; what it says went wrong is raised."""
        error = reply.get("error")
        if error is None:
            return reply
        kind, said = (
            (str(error.get(n, "")) for n in ("kind", "message")) if isinstance(error, dict) else ("", "")
        )
        if kind == "session":
            self._name = ""  # it was idle for too long; the next attempt walks there again
            raise PassingError(said, 0.0)
        if kind in PASSING_KINDS:
            raise PassingError(said)
        raise (ModelError if kind == "model" else ServerError)(f"{self._patience.who}: {said[:400]}")
