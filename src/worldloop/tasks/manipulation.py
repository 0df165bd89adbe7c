"""Manipulation: push, stack, press and pick and place at a table, told in words.

After World-In-World (arXiv 2510.18135): four families, 7-DoF commands, K = 15 decisions, success by a predicate of
the state. A command here is a waypoint, carried out until the hand is there, so that 15 commands suffice for every
family (eight at most are needed). A plan has L = 4 of them because that is one phase of every family (above, down,
close, lift; over, down, open, up; behind, down, through, back): a plan shows its outcome at its end. The first one is
carried out, then the agent looks again. M = 3 plans as in navigation: enough that choosing matters, few enough to
simulate. The paper's planners (a VLM, a diffusion policy) use other L and M.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from worldloop.core import (
    Budgets,
    Candidate,
    Environment,
    Episode,
    Goal,
    InputError,
    Observation,
    Outcome,
    Resource,
    Score,
    derive_seed,
)
from worldloop.envs.tabletop.goals import distance, failed, succeeded
from worldloop.envs.tabletop.layout import load_layout, scene_id
from worldloop.envs.tabletop.world import TabletopWorld
from worldloop.tasks.episodes import load_episodes


class Manipulation:
    """Success is the goal reached at the end of a command; the episode ends there, or when it cannot be reached."""

    name = "manipulation"
    version = "1"
    summary = "push, stack, press, and pick and place with a Franka arm, as told"
    budgets = Budgets(rollouts=3, horizon=4, execute=1, budget=15)
    privileges: tuple[str, ...] = ("true_depth",)
    agent_sees = ("depth", "gripper")
    """An exact depth camera and the arm's own sense of where its hand is."""
    provides = ("pose", "gripper", "depth", "segmentation", "wrist_rgb", "wrist_depth", "wrist_segmentation")
    default_agent = "heuristic"
    resources: tuple[Resource, ...] = ()

    def episodes(self, split: str) -> list[Episode]:
        """The fixed list of a split, or of an episode file; InputError for an unknown one."""
        return load_episodes(self.name, split)

    def environment(self, needs: Collection[str] = ()) -> TabletopWorld:
        """A tabletop world that renders what is needed and nothing else."""
        return TabletopWorld(
            depth=any("depth" in n for n in needs),
            segmentation=any("segmentation" in n for n in needs),
            wrist=any(n.startswith("wrist") for n in needs),
        )

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """The goal in words, such as "Stack the red block on the blue block."."""
        return Goal(load_layout(episode.scene).text)

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Nothing is added."""
        return observation

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Nothing is added."""
        return list(candidates)

    def done(self, environment: Environment, episode: Episode) -> bool:
        """When the goal is reached or out of reach for good (a wrong button pressed, a thing off the table)."""
        physics = table_of(environment).physics
        return succeeded(physics) or failed(physics)

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """Score is the success; `distance` is what is left: metres to the target, for buttons the share not
        pressed."""
        physics = table_of(environment).physics
        success = succeeded(physics)
        return Score(success, float(success), {"distance": distance(physics)})


def table_of(environment: Environment) -> TabletopWorld:
    """The environment as a tabletop world; InputError for any other."""
    if not isinstance(environment, TabletopWorld):
        raise InputError(f"this task needs a tabletop world, not {type(environment).__name__}")
    return environment


FAMILIES = ("push", "stack", "press", "pick-place")
"""Of the shipped lists; `insert` has layouts too."""


def list_episodes(split: str, count: int, first: int = 0) -> list[Episode]:
    """`count` episodes of a tabletop split, families taking turns, layouts counted from `first`."""
    out = []
    for i in range(count):
        family, index = FAMILIES[i % len(FAMILIES)], first + i // len(FAMILIES)
        scene = scene_id(split, family, index)
        layout = load_layout(scene)
        name = f"mp-{split}-{family}-{index:04d}"
        goal = {"family": family, "text": layout.text}
        start = {"position": [0.0, 0.0], "yaw_deg": 0.0}  # of the arm's base, which is fixed
        seed = derive_seed(0, name) % 2**31
        out.append(Episode(name, Manipulation.name, scene, seed, start, goal, Manipulation.budgets.budget))
    return out
