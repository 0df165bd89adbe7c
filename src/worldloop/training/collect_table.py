"""Demonstrations at the table: a scripted expert, steady or noisy, carried out by the arm.

A frame is one command of the vocabulary `gripper-waypoint`: what was seen, and the absolute waypoint (metres, degrees,
grip 0..1) that was then given and carried out until the hand was there, up to 3 s. Where nothing is left to do, the
hand stays for the rest of the episode. The expert reads the simulator's truth; it is a demonstrator, not an agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldloop.core import Episode, derive_seed
from worldloop.envs.tabletop.commands import VOCABULARIES, pose_of
from worldloop.envs.tabletop.layout import load_layout
from worldloop.envs.tabletop.recovery import TableFacts, facts_of, next_commands
from worldloop.envs.tabletop.world import TabletopWorld
from worldloop.training.collect_config import TABLE_POLICIES, CollectConfig, Shard
from worldloop.training.dataset.layout import Demonstration, EpisodeData, millimetres

OFTEN = 0.35
"""Share of the commands at which a noisy demonstrator that was right begins to be wrong."""
ASTRAY = 0.035
"""Metres (standard deviation, each way) by which it then believes the thing that matters to be elsewhere."""
LONGEST = 5
"""It finds out after 1 to so many commands: sometimes it corrects its aim at once, sometimes it misses."""


class Demonstrator:
    """Gives commands; `noisy` ones follow wrong beliefs for a while, then notice."""

    def __init__(self, policy: str, rng: np.random.Generator) -> None:
        self._noisy, self._rng = policy == "noisy", rng
        self._error, self._left = np.zeros(2), 0

    def command(self, facts: TableFacts, truth: np.ndarray) -> np.ndarray:
        """float64 [7]: the waypoint to give. truth [4,7]: what the expert would do."""
        if not self._noisy or facts.over:
            return truth[0]
        if self._left == 0 and self._rng.random() < OFTEN:
            self._error, self._left = self._rng.normal(0, ASTRAY, 2), int(self._rng.integers(1, LONGEST + 1))
        if self._left == 0:
            return truth[0]
        self._left -= 1
        name = facts.goal[facts.pressed if facts.family == "press" else int(facts.held)]
        astray = facts.places[name] + np.array([*self._error, 0.0, 0.0])
        return next_commands(replace(facts, places={**facts.places, name: astray}))[0]


def table_episodes(config: CollectConfig, shard: Shard) -> Iterator[EpisodeData]:
    """The demonstrations of a shard."""
    world = TabletopWorld(size=config.size, depth=config.depth, segmentation=False, wrist=config.wrist)
    vocabulary = VOCABULARIES["waypoint"]
    low, high = np.array(vocabulary.low), np.array(vocabulary.high)
    for scene, number, frames in zip(shard.scenes, shard.numbers, shard.lengths):
        seed = derive_seed("collect", config.seed, scene, number)
        rng = np.random.default_rng(seed)
        policy = config.policy if config.policy != "mixed" else str(rng.choice(TABLE_POLICIES))
        demonstrator = Demonstrator(policy, rng)
        seen = [world.reset(Episode(scene, "collect", scene, 0, {}, {}, 0))]
        facts = [facts_of(world.physics)]
        experts, hands = [next_commands(facts[0])], [pose_of(world.physics)]
        commands: list[np.ndarray] = []
        for _ in range(frames - 1):
            if facts[-1].over and commands:  # the hand stays, and what it holds stays held
                commands.append(commands[-1])
            else:
                commands.append(np.clip(demonstrator.command(facts[-1], experts[-1]), low, high))
            seen.append(world.step(vocabulary.plan([commands[-1].tolist()]).actions[0]))
            facts.append(facts_of(world.physics))
            experts.append(next_commands(facts[-1]))
            hands.append(pose_of(world.physics))
        layout = load_layout(scene)
        depths = [o.depth for o in seen if o.depth is not None]
        yield EpisodeData(
            frames=np.stack([o.rgb for o in seen]),
            poses=np.stack([o.pose for o in seen if o.pose is not None]),
            states=np.array(hands),
            scene=scene,
            seed=seed,
            split=config.split,
            policy=policy,
            task=layout.text,
            depths=millimetres(np.stack(depths)) if depths else None,
            demonstration=Demonstration(
                np.array(commands),
                np.clip(np.array(experts), low, high),
                np.array([f.reached for f in facts]),
                np.array([f.lost for f in facts]),
                layout.family,
                np.stack([o.extra["wrist_rgb"] for o in seen]) if config.wrist else None,
            ),
        )


def table_summary(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of demonstrations that reached their goal, by family."""
    rows = [row for shard in shards for row in shard["episodes"]]
    families = list(dict.fromkeys(row["family"] for row in rows))
    reached = {f: [bool(row["success"]) for row in rows if row["family"] == f] for f in families}
    return {"success": {f: round(sum(found) / len(found), 4) for f, found in reached.items()}}
