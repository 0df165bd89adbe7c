"""A second request where the first one hangs: of two identical ones, the first good reply counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from worldloop.models.remote.connections import Flight, Reply


def hedged(send: Callable[[Flight], Reply], after: float) -> Reply:
    """The reply to `send`, which is called once more when the first call has brought nothing after so many seconds.

    What comes first and has status 200 counts, and the other request is called off; if neither has it, the last failure
    is raised or returned. `send` must do no harm when it is done twice.
    """
    answers: SimpleQueue[tuple[Reply | None, BaseException | None]] = SimpleQueue()
    flights: list[Flight] = []

    def go() -> None:
        flight = Flight()
        flights.append(flight)

        def run() -> None:
            try:
                answers.put((send(flight), None))
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                answers.put((None, error))

        threading.Thread(target=run, name="worldloop-hedge", daemon=True).start()

    go()
    try:
        try:
            reply, error = answers.get(timeout=after)
            pending = 0
        except Empty:
            go()
            reply, error = answers.get()
            pending = 1
        if pending and (reply is None or reply.status != 200):
            reply, error = answers.get()
    finally:
        for flight in flights:
            flight.call_off()
    if reply is None:
        assert error is not None
        raise error
    return reply
