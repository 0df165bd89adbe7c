"""Agents: proposers, revisers and answerers. `AGENTS` knows them by name."""

from worldloop.core import Agent, Registry

AGENTS: Registry[Agent] = Registry("agent")
for _name, _attribute, _summary in (
    ("heuristic", "heuristic", "the task's scripted proposer; revises by imagined views"),
    ("random", "random", "random plans; the same reviser"),
    ("enumerate", "enumerate_", "one plan for each primitive; the same reviser"),
    ("blind", "blind", "answers questions without looking, by what is most frequent (embodied-qa)"),
    ("beam", "beam", "plans that end far apart; the same reviser"),
):
    AGENTS.register(_name, f"worldloop.agents.build:{_attribute}", _summary)
AGENTS.register(
    "diffusion",
    "worldloop.agents.policy.agent:diffusion",
    "learnt, small: samples of a diffusion policy (manipulation); diffusion:weights=FILE for your own",
)
AGENTS.register(
    "shooting",
    "worldloop.agents.shooting:shooting",
    "random plans with repeated actions; takes the one of highest imagined reward, or nearest the goal picture",
)
AGENTS.register(
    "vlm",
    "worldloop.agents.vlm.build:vlm",
    "a (vision-)language model behind an OpenAI-compatible server: vlm:base_url=...,model=...",
)

__all__ = ["AGENTS"]
