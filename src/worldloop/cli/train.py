"""Train what worldloop ships: `recogniser`, the head that names objects in active recognition."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldloop.cli.console import out, print_json
from worldloop.core import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop train`."""
    parser.add_argument("what", choices=("recogniser",))
    parser.add_argument(
        "--scenes",
        type=int,
        default=60,
        metavar="N",
        help="training scenes of each style (default: %(default)s)",
    )
    parser.add_argument(
        "--views", type=int, default=120, metavar="N", help="views in each scene (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", default="recogniser", metavar="DIR", help="where head and card go (default: %(default)s)"
    )


def main(options: argparse.Namespace) -> int:
    """Train and print the card."""
    from worldloop.training.recogniser import TrainConfig, train_recogniser

    if options.scenes < 1 or options.views < 1:
        raise InputError("--scenes and --views must be at least 1")
    card = train_recogniser(
        TrainConfig(scenes=options.scenes, views=options.views, seed=options.seed, out=Path(options.out))
    )
    if options.json:
        print_json(card)
    else:
        out.print(card)
    return 0
