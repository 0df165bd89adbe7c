"""Train: `recogniser` (names objects in active recognition), `vae` and `video` (the video model's autoencoder and its
base, from passive video), `sft` (adaptation of a video model to actions, low-rank or of all weights), `distil` (a video
model that samples in few steps), `policy` (waypoints for the arm at the table, from demonstrations), `inverse-dynamics` (reads the move
between two views of a house, for a metric). The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from worldloop.cli import train_recipes as recipes
from worldloop.cli.console import out, print_json, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop train`: one set for each thing to train."""
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, (summary, add) in KINDS.items():
        kind = kinds.add_parser(name, help=summary, description=summary.capitalize(), allow_abbrev=False)
        for flag in ("--json", "--verbose"):  # those of the verb, after the name as well
            kind.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        kind.add_argument("--out", metavar="DIR", help=f"where weights and card go (default: {name})")
        kind.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
        add(kind)


def main(options: argparse.Namespace) -> int:
    """Train and print the card."""
    with progress(quiet=options.json) as bar:
        line = bar.add_task(f"train {options.what}", total=None, note="")

        def show(step: int, loss: float, total: int | None) -> None:
            bar.update(line, completed=step, total=total, note=f"loss {loss:.4f}")

        folder = Path(options.out or options.what)
        card = recipes.train(options, folder, show, lambda: bar.update(line, note="score"))
    if options.json:
        print_json(card)
    else:
        out.print(card)
    return 0


def _recogniser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scenes", type=int, default=60, metavar="N", help="scenes of a style (default: %(default)s)")
    add("--views", type=int, default=120, metavar="N", help="views of a scene (default: %(default)s)")


def _vae(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument(
        "--start", metavar="FILE", help="an autoencoder to train further, or a video model that has one"
    )
    _steps(parser, steps=6000, batch=32, rate=1e-3)


def _video(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _data(parser)
    add("--vae", metavar="FILE", help="the autoencoder (`worldloop train vae` makes one)")
    add(
        "--start",
        metavar="FILE",
        help="a base to train further, with its own autoencoder unless --vae is given; one of houses may go on at a table",
    )
    add("--size", choices=tuple(recipes.SIZES), help="of a new transformer (default: default)")
    add("--muon", action="store_true", help="the Muon optimiser for the blocks (needs torch 2.9)")
    _steps(parser, steps=8000, batch=16, rate=5e-4)
    _shared(parser)
    _scored(parser)


def _sft(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _data(parser)
    add(
        "--base",
        metavar="PATH",
        help="the video model to adapt: a file, a packaged name, or a diffusers folder",
    )
    add(
        "--control",
        default="code",
        help="text, code or camera for walks; vector for demonstrations at a table (default: %(default)s)",
    )
    add("--examples", type=int, metavar="N", help="clips to train on (default: all)")
    add("--epochs", type=int, default=1, metavar="N", help="times through the clips (default: %(default)s)")
    add("--rank", type=int, metavar="R", help="of the adapters (default: 1.5 %% of the model; diffusers: 16)")
    add("--batch", type=int, metavar="B", help="examples in a step (default: 16; diffusers: 4)")
    add("--learning-rate", type=float, metavar="X", help="(default: 1e-3; --full: 5e-4; diffusers: 1e-4)")
    add(
        "--sampling-steps",
        type=int,
        metavar="K",
        help="that the file recommends (default: as the base; 1 predicts best on average)",
    )
    add(
        "--full",
        action="store_true",
        help="train all weights, not adapters: for a base that has seen nothing like the data (one of houses, for a "
        "table). It takes more clips and forgets what the base knew; leave it out where the base fits",
    )
    add(
        "--muon", action="store_true", help="with --full: the Muon optimiser for the blocks (needs torch 2.9)"
    )
    add(
        "--changes",
        type=float,
        default=0.0,
        metavar="X",
        help="how much more counts what differs from the present, for cameras that stand still (default: %(default)s)",
    )
    add(
        "--vae",
        metavar="PATH",
        help="with --full: another autoencoder than the base's; diffusers: the autoencoder's folder, where the base is a "
        "lone transformer",
    )
    _shared(parser)
    _precision(parser)
    _scored(parser)
    only = parser.add_argument_group("for a diffusers folder")
    only.add_argument("--frames", type=int, metavar="N", help="frames to predict (default: 8 or a few more)")
    only.add_argument("--size", metavar="H,W", help="of the video (default: that of the data)")


def _distil(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _data(parser)
    add("--base", metavar="FILE", help="the teacher")
    add(
        "--student-steps",
        type=int,
        default=1,
        metavar="K",
        help="sampling steps of the student, 1, 2 or 4 (default: %(default)s)",
    )
    _steps(parser, steps=2000, batch=16, rate=2e-4)
    _shared(parser, shift=False)
    _scored(parser)


def _policy(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument("--start", metavar="FILE", help="a policy to train further")
    _steps(parser, steps=3000, batch=32, rate=1e-3, precision="fp32")
    add = parser.add_argument
    add(
        "--size",
        type=int,
        default=128,
        metavar="PIXELS",
        help="of the data's pictures (default: %(default)s)",
    )
    add("--width", type=int, default=32, metavar="N", help="channels, in eights (default: %(default)s)")


def _inverse(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scenes", type=int, default=30, metavar="N", help="training houses (default: %(default)s)")
    add("--pairs", type=int, default=250, metavar="N", help="moves in each house (default: %(default)s)")
    _steps(parser, steps=1000, batch=48, rate=2e-3, precision="fp32")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR[,DIR]", help="datasets of `worldloop collect`")


def _steps(
    parser: argparse.ArgumentParser, steps: int, batch: int, rate: float, precision: str = "auto"
) -> None:
    add = parser.add_argument
    add("--steps", type=int, default=steps, metavar="N", help="training steps (default: %(default)s)")
    add("--batch", type=int, default=batch, metavar="B", help="examples in a step (default: %(default)s)")
    add("--learning-rate", type=float, default=rate, metavar="X", help="(default: %(default)s)")
    _precision(parser, precision)


def _precision(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    parser.add_argument("--precision", default=default, help="fp32, bf16 or auto (default: %(default)s)")


def _shared(parser: argparse.ArgumentParser, shift: bool = True) -> None:
    parser.add_argument("--latents", metavar="DIR", help="keep the encoded data here for other trainings")
    if shift:
        parser.add_argument("--shift", type=float, metavar="X", help="stress on high noise levels, from 1 up")


def _scored(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-score", action="store_true", help="leave the open-loop score out of the card")


KINDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "recogniser": ("names objects in active recognition", _recogniser),
    "vae": ("the video model's autoencoder", _vae),
    "video": ("the base of the video model, from passive video", _video),
    "sft": ("adaptation of a video model to actions, low-rank or full", _sft),
    "distil": ("a video model that samples in few steps", _distil),
    "policy": ("waypoints for the arm at the table, from demonstrations", _policy),
    "inverse-dynamics": ("the move between two views of a house, which a metric reads", _inverse),
}
