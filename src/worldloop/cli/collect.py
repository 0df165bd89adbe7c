"""Collect trajectories of pictures and actions, to train world models and policies on (LeRobotDataset v3): walks through
houses, or demonstrations of a scripted expert at the table, where a frame is one waypoint.

The same command resumes what was cut off; the dataset does not depend on interruptions or on --jobs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from worldloop.cli.console import names, out, print_json, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop collect`."""
    add = parser.add_argument
    add("--env", default="house", help="house or tabletop (default: %(default)s)")
    add("--split", default="train", help="scenes to use: train, val or test (default: %(default)s)")
    add("--style", default="A", help="styles of houses, separated by commas (default: %(default)s)")
    add(
        "--policy",
        default="mixed",
        help="random, tour, orbit, uniform, heedless, or mixed of the first four; at the table expert, noisy, or "
        "mixed of both (default: %(default)s)",
    )
    add("--frames", type=int, required=True, metavar="N", help="frames in all")
    add("--out", required=True, metavar="DIR", help="folder of the dataset")
    add(
        "--scenes",
        type=int,
        metavar="N",
        help="scenes of each style (default: one for every 8 episodes); layouts of each family (default: as many "
        "as demonstrations)",
    )
    add(
        "--episode-frames",
        type=int,
        metavar="N",
        help="frames of the longest episode (default: 32, at the table 12)",
    )
    add("--size", type=int, default=128, metavar="PIXELS", help="side of a picture (default: %(default)s)")
    add("--panorama", type=int, metavar="ROWS", help="render panoramas of that many rows, too")
    add("--depth", action="store_true", help="store depth, too")
    add("--no-wrist", action="store_true", help="leave out what the wrist camera of the table sees")
    add("--lossy", action="store_true", help="smaller video that does not decode to the very same pictures")
    add("--evaluation", action="store_true", help="allow val and test; the data then serves evaluation only")
    add("--jobs", type=int, metavar="J", help="processes (default: one per processor)")
    add("--seed", type=int, default=0)


def main(options: argparse.Namespace) -> int:
    """Collect and print a summary."""
    from worldloop.training.collect import CollectConfig, collect

    config = CollectConfig(
        out=Path(options.out),
        frames=options.frames,
        env=options.env,
        split=options.split,
        styles=tuple(names(options.style)),
        policy=options.policy,
        scenes=options.scenes,
        episode_frames=options.episode_frames,
        size=options.size,
        panorama_height=options.panorama,
        depth=options.depth,
        lossless=not options.lossy,
        seed=options.seed,
        jobs=options.jobs,
        evaluation=options.evaluation,
        wrist=not options.no_wrist,
    )
    with progress(quiet=options.json) as bar:
        line = bar.add_task(f"collect {options.env} / {options.split}", total=config.frames, note="frames")
        summary = collect(config, lambda done, total: bar.update(line, completed=done))
    if options.json:
        print_json(summary)
    else:
        _print(summary)
    return 0


def _print(summary: dict[str, Any]) -> None:
    megabytes = sum(summary["bytes"].values()) / 1e6
    if "success" in summary:
        shares = "reached: " + ", ".join(f"{name} {share:.0%}" for name, share in summary["success"].items())
    else:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in summary["actions"].items())
        shares += f"; blocked {summary['collided']:.1%}"
    out.print(
        f"{summary['frames']} frames in {summary['episodes']} episodes from {summary['scenes']} scenes, "
        f"{megabytes:.1f} MB: {summary['out']}\n{shares}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
