"""Opening sessions and going on with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from worldloop.core import Action, Observation, Plan, Query, Rollout, Vocabulary, derive_seed
from worldloop.engine.guard import only
from worldloop.serving.hub import Hub
from worldloop.serving.seats import Session


async def begun(
    hub: Hub, vocabulary: Vocabulary, history: tuple[Observation, ...], actions: tuple[Action, ...], seed: int
) -> Session:
    """A session that sets out from the present."""
    card = hub.model.card
    seen = tuple(only(o, card.reads, card.privileges) for o in history[-card.history :])
    past = actions[-(len(seen) - 1) :] if len(seen) > 1 else ()
    if hub.stepper is None:
        return Session(vocabulary, seen, past, seed)
    stepper = hub.stepper
    state = await hub.limited(1, lambda: stepper.begin(vocabulary, seen, past))
    return Session(vocabulary, (Observation(seen[-1].rgb),), (), seed, state=state)


async def stepped(hub: Hub, session: Session, plan: Plan) -> tuple[Session, Rollout, dict[str, float]]:
    """The session after a plan, the rollout, and seconds of model time and of the whole.

    A step depends on the seed and on how many steps were taken. What a frame does not show (a panorama, say) is not
    made up: a model that keeps no state goes on with what it imagined.
    """
    seed = derive_seed(session.seed, "step", session.steps)
    done = session.steps + len(plan)
    if (stepper := hub.stepper) is not None:
        started = asyncio.get_running_loop().time()
        rollout, state = await hub.limited(
            1, lambda: stepper.advance(session.state, plan, seed, session.history[-1])
        )
        total = asyncio.get_running_loop().time() - started
        timing = {"model": rollout.seconds, "total": total}
        return replace(session, state=state, steps=done), rollout, timing
    rollouts, timing = await hub.ask([Query(session.history, session.actions, plan, seed)])
    window = max(hub.model.card.history, 1)
    seen = (*session.history, *rollouts[0].frames)[-window:]
    past = (*session.actions, *plan.actions)[-(window - 1) :] if window > 1 else ()
    return replace(session, history=seen, actions=past, steps=done), rollouts[0], timing
