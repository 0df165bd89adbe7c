"""A world model of worldloop's as the cost model of stable-worldmodel's solvers (CEM, iCEM, MPPI and the like).

```
cost = CostModel(MODELS.create("my.Model"), vocabulary, distance=stlpips.distance)
solver = stable_worldmodel.solver.CEMSolver(cost, num_samples=64, n_steps=5, topk=8)
policy = stable_worldmodel.policy.WorldModelPolicy(solver, config)
```
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worldloop.core import InputError, Observation, Query, Vocabulary, WorldModel, derive_seed

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of pictures uint8 [N,H,W,3], pair by pair: float [N], smaller is more alike."""
AT_ONCE = 64
"""Queries in one call, so that not all the frames of a large population are held at once."""


class Scaler(Protocol):
    """What undoes the normalisation of actions, such as scikit-learn's `StandardScaler`."""

    def inverse_transform(self, x: np.ndarray) -> np.ndarray:
        """Actions [N,A] as the environment takes them."""
        ...


def pixel_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference float64 [N] of pictures uint8 [N,H,W,3] with white as 1."""
    gap = (a.astype(np.float64) - b) / 255
    return np.square(gap).reshape(len(gap), -1).mean(1)


class CostModel:
    """Simulates action candidates and says how far from the goal picture each of them ends."""

    def __init__(
        self,
        model: WorldModel,
        vocabulary: Vocabulary,
        distance: Distance = pixel_distance,
        scaler: Scaler | None = None,
        seed: int = 0,
        hfov_deg: float = 90.0,
    ) -> None:
        """vocabulary: the box of one environment step's command; a candidate's step may hold several of them.

        scaler: what the policy's `process["action"]` is, if it has one. All candidates of a state share one seed, so that
        they differ by what they do alone. InputError for a model that cannot be asked so.
        """
        if vocabulary.discrete:
            raise InputError(f"solvers search in a box of numbers, and {vocabulary.name!r} has named actions")
        refuses = getattr(model, "refuses", None)
        if refuses is not None and (reason := refuses(vocabulary)) is not None:
            raise InputError(str(reason))
        card = model.card
        needs = sorted({*card.reads, *card.privileges} - {"text"})
        if needs or not card.imagines:
            what = f"reads {', '.join(needs)}" if needs else "imagines nothing"
            raise InputError(f"model {card.name!r} {what}, and solvers hand over pictures only")
        self.model, self.vocabulary, self.distance = model, vocabulary, distance
        self.scaler, self.seed, self.hfov_deg = scaler, seed, hfov_deg

    def get_cost(self, info_dict: Mapping[str, Any], action_candidates: Tensor) -> Tensor:
        """float32 [B,S]: distance of the last predicted frame to the goal, for candidates [B,S,H,k*A].

        info_dict: `pixels` and `goal` uint8 [B,S,T,H,W,3] (or channels first), equal over S, as the environment gives them:
        the policy must have no `transform` for them. InputError for anything else. Commands outside of the box are
        moved to its border.
        """
        if action_candidates.ndim != 4 or action_candidates.shape[3] % len(self.vocabulary.fields):
            raise InputError(
                f"candidates are [B,S,H,k*{len(self.vocabulary.fields)}] for {self.vocabulary.name!r}, got "
                f"{list(action_candidates.shape)}"
            )
        b, s = action_candidates.shape[:2]
        seen, goals = (_pictures(info_dict, key, b) for key in ("pixels", "goal"))
        commands = self._commands(action_candidates.detach().cpu().numpy())  # b s l a
        queries, wanted = [], []
        for i in range(b):
            history = tuple(Observation(p, hfov_deg=self.hfov_deg) for p in seen[i])
            content = hashlib.blake2b(seen[i].tobytes(), digest_size=16).digest()
            seed = derive_seed(self.seed, content, "cost")
            queries += [Query(history, (), self.vocabulary.plan(c), seed) for c in commands[i]]
            wanted += [goals[i][-1]] * s
        costs = []
        for at in range(0, len(queries), AT_ONCE):
            rollouts = self.model.simulate(queries[at : at + AT_ONCE])
            ends = np.stack([r.frames[-1].rgb for r in rollouts])
            aims = np.stack(wanted[at : at + AT_ONCE])
            if ends.shape != aims.shape:
                raise InputError(
                    f"goals are {list(aims.shape[1:3])} and pictures {list(ends.shape[1:3])}; make them alike"
                )
            costs.append(np.asarray(self.distance(ends, aims), np.float32))
        return torch.from_numpy(np.concatenate(costs).reshape(b, s)).to(action_candidates.device)

    def criterion(self, info_dict: Mapping[str, Any], action_candidates: Tensor) -> Tensor:
        """The same; solvers ask for either."""
        return self.get_cost(info_dict, action_candidates)

    def _commands(self, candidates: np.ndarray) -> np.ndarray:
        """Commands float64 [B,S,L,A] within the box."""
        width = len(self.vocabulary.fields)
        flat = candidates.astype(np.float64).reshape(-1, width)
        if self.scaler is not None:
            flat = np.asarray(self.scaler.inverse_transform(flat), np.float64)
        if not np.isfinite(flat).all():
            raise InputError("action candidates should be finite numbers")
        boxed = np.clip(flat, self.vocabulary.low, self.vocabulary.high)
        return boxed.reshape(*candidates.shape[:2], -1, width)


def _pictures(info: Mapping[str, Any], key: str, count: int) -> np.ndarray:
    """uint8 [B,T,H,W,3] of what solvers hand over, from the first sample of each."""
    given = info.get(key)
    if given is None:
        raise InputError(f"{key!r} is missing in what the solver hands over; a goal must be a picture")
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.ndim == 6 and array.shape[3] == 3 and array.shape[5] != 3:
        array = np.moveaxis(array, 3, 5)
    if array.ndim != 6 or array.shape[5] != 3 or array.shape[0] != count or array.dtype != np.uint8:
        raise InputError(
            f"{key!r} should be uint8 [B,S,T,H,W,3], got {array.dtype}{list(array.shape)}; give the policy no transform for "
            "pixels and goal"
        )
    return np.ascontiguousarray(array[:, 0])
