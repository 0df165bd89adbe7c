"""Conversations over a WebSocket: a session remembers what was seen and imagined, steps on, and can be forked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from worldloop.core import Action, Observation, Query, Vocabulary, WorldloopError, derive_seed
from worldloop.models.remote import checks, messages
from worldloop.models.remote.wire import WireError, pack, unpack
from worldloop.serving.hub import BusyError, Hub, fault

if TYPE_CHECKING:
    from starlette.websockets import WebSocket


@dataclass(frozen=True)
class Session:
    """An imagined walk; immutable, so that a fork is a second name for it."""

    vocabulary: Vocabulary
    history: tuple[Observation, ...]
    actions: tuple[Action, ...]
    seed: int
    steps: int = 0

    def after(self, actions: tuple[Action, ...], frames: tuple[Observation, ...], window: int) -> Session:
        """The session with so many frames more, of which the last `window` are kept.

        What a frame does not show (a panorama, say) is not made up: the model goes on with what it imagined.
        """
        seen, done = (*self.history, *frames)[-window:], (*self.actions, *actions)
        return replace(
            self,
            history=seen,
            actions=done[-(window - 1) :] if window > 1 else (),
            steps=self.steps + len(frames),
        )


async def converse(socket: WebSocket, hub: Hub) -> None:
    """Answer the messages of one connection until it closes; its sessions end with it.

    Each message has an `op` and may have an `id`, which comes back. `reset` (a context and a seed) opens a session, `step`
    (actions) imagines on from where it is, `fork` opens another one there, `close` ends one.
    """
    from starlette.websockets import WebSocketDisconnect

    await socket.accept()
    mine: dict[str, Session] = {}
    count = 0
    try:
        while True:
            data = (await socket.receive()).get("bytes")
            if data is None:  # the connection is closed, or brings text, which ends the conversation, too
                return
            given: Mapping[str, Any] = {}
            try:
                if len(data) > hub.config.max_request_bytes:
                    raise WireError(f"a message has at most {hub.config.max_request_bytes} bytes")
                given = checks.mapping(unpack(data), "a message")
                before = len(mine)
                reply, count = await _reply(given, mine, count, hub)
                hub.counts["sessions"] += len(mine) - before
            except (WorldloopError, TimeoutError) as error:
                reply = {"error": {"kind": fault(error)[0], "message": str(error)[:1000]}}
            await socket.send_bytes(pack({"id": given.get("id"), **reply}))
    except WebSocketDisconnect:
        pass
    finally:
        hub.counts["sessions"] -= len(mine)


async def _reply(
    given: Mapping[str, Any], mine: dict[str, Session], count: int, hub: Hub
) -> tuple[dict[str, Any], int]:
    op, name = given.get("op"), given.get("session")
    if op in ("reset", "fork") and hub.counts["sessions"] >= hub.config.max_sessions:
        raise BusyError(f"there are {hub.counts['sessions']} sessions, which is the limit; close one")
    if op == "reset":
        mine[str(count)] = Session(*messages.read_context(given.get("context")), checks.whole(given, "seed"))
        return {"session": str(count)}, count + 1
    if not isinstance(name, str) or name not in mine:
        raise WireError(f"there is no session {str(name)[:40]!r} in this connection; reset opens one")
    session = mine[name]
    if op == "fork":
        mine[str(count)] = replace(session, seed=checks.whole(given, "seed")) if "seed" in given else session
        return {"session": str(count)}, count + 1
    if op == "close":
        del mine[name]
        return {}, count
    if op != "step":
        raise WireError(f"op is reset, step, fork or close, not {str(op)[:40]!r}")
    plan = messages.read_plan(session.vocabulary, given.get("actions"))
    seed = derive_seed(session.seed, "step", session.steps)
    rollouts, timing = await hub.ask([Query(session.history, session.actions, plan, seed)])
    mine[name] = session.after(plan.actions, rollouts[0].frames, max(hub.model.card.history, 1))
    return {"rollout": messages.rollout(rollouts[0]), "timing": timing}, count
