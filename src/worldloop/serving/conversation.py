"""Conversations over a WebSocket: messages of many sessions at once, each answered as it is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from worldloop.core import WorldloopError
from worldloop.models.remote import checks, messages
from worldloop.models.remote.wire import LOSSY, WireError, pack, unpack
from worldloop.serving.faults import fault
from worldloop.serving.hub import Hub
from worldloop.serving.seats import Seat, Seats
from worldloop.serving.sessions import begun, stepped

log = logging.getLogger(__name__)
MOST_AT_ONCE = 64
"""Messages of one connection that are worked on; beyond these, it is not read."""


async def converse(socket: WebSocket, hub: Hub, encoding: str = "raw") -> None:
    """Answer the messages of one connection until it closes; its sessions end with it.

    Each message has an `op` and may have an `id`, which comes back. `reset` (a context and a seed) opens a session, `step`
    (actions) imagines on from where it is, `fork` opens another one there, `close` ends one. Messages of one session are
    answered in order.
    """
    await socket.accept()
    talk = _Conversation(socket, hub, encoding)
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    working: set[asyncio.Task[None]] = set()
    hub.counts["connections"] += 1
    try:
        while True:
            await gate.acquire()
            data = (await socket.receive()).get("bytes")
            if data is None:  # the connection is closed, or brings text, which ends the conversation, too
                return
            # Read here, so that messages of one session keep their order.
            given, problem = await talk.read(data)
            task = asyncio.create_task(talk.answer(given, problem))
            working.add(task)
            task.add_done_callback(working.discard)
            task.add_done_callback(lambda _: gate.release())
    finally:
        for task in working:
            task.cancel()
        talk.seats.close()
        hub.counts["connections"] -= 1


class _Conversation:
    def __init__(self, socket: WebSocket, hub: Hub, encoding: str) -> None:
        self._socket, self._hub, self._encoding = socket, hub, encoding
        self._sending = asyncio.Lock()
        self.seats = Seats(hub.hall)

    async def read(self, data: bytes) -> tuple[Mapping[str, Any], Exception | None]:
        """A message, or what is wrong with it."""
        try:
            if len(data) > self._hub.config.max_request_bytes:
                raise WireError(f"a message has at most {self._hub.config.max_request_bytes} bytes")
            given = checks.mapping(await asyncio.to_thread(unpack, data), "a message")
            number = given.get("id")
            if number is not None and (isinstance(number, bool) or not isinstance(number, int | str)):
                raise WireError("an id is a whole number or a text")
        except WorldloopError as error:
            return {}, error
        return given, None

    async def answer(self, given: Mapping[str, Any], problem: Exception | None) -> None:
        """Send the reply to a message."""
        number = given.get("id")
        try:
            if problem is not None:
                raise problem
            reply = await self._reply(given)
        except Exception as error:
            kind = fault(error)[0]
            if kind == "fault":
                log.exception("a message failed")
            said = type(error).__name__ if kind == "fault" else str(error)
            reply = {
                "error": {"kind": kind, "message": said[:1000] or "the time limit of this server has passed"}
            }
        message = {"id": number, **reply}
        if self._encoding == "raw":
            data = pack(message)
        else:
            data = await asyncio.to_thread(lambda: pack(message, encoding=self._encoding))
        try:
            async with self._sending:
                await self._socket.send_bytes(data)
        except (WebSocketDisconnect, RuntimeError):
            # Who has left gets no reply; the loop that reads finds out and ends the conversation.
            log.debug("a client left before its reply")

    async def _reply(self, given: Mapping[str, Any]) -> dict[str, Any]:
        op, name = given.get("op"), given.get("session")
        if op == "reset":
            self.seats.room()
            context = messages.read_context(given.get("context"))
            return {"session": self.seats.take(await begun(self._hub, *context, checks.whole(given, "seed")))}
        if op not in ("step", "fork", "close"):
            raise WireError(f"op is reset, step, fork or close, not {str(op)[:40]!r}")
        if not isinstance(name, str):
            raise WireError("'session' is the name that reset or fork gave")
        seat = self.seats.find(name)
        async with seat.lock:
            seat = self.seats.find(name)  # it may have been closed meanwhile
            if op == "close":
                self.seats.leave(name)
                return {}
            if op == "fork":
                other = (
                    replace(seat.session, seed=checks.whole(given, "seed"))
                    if "seed" in given
                    else seat.session
                )
                return {"session": self.seats.take(other)}
            return await self._step(seat, given)

    async def _step(self, seat: Seat, given: Mapping[str, Any]) -> dict[str, Any]:
        plan = messages.read_plan(seat.session.vocabulary, given.get("actions"))
        session, rollout, timing = await stepped(self._hub, seat.session, plan)
        self.seats.move(seat, session)
        self.seats.touch(seat)
        return {"rollout": messages.rollout(rollout), "timing": timing, "lossy": self._encoding in LOSSY}
