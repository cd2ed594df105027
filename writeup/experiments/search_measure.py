"""What search.py measures of one energy: accuracy, energies and speed of each way to search it.

    python search_measure.py curves|speed|velocity RESULT --model FILE --tune CORPUS --test CORPUS [--network NAME=FILE]

What each of the three is, search_curves.py, search_speed.py and search_velocity.py say. The step size of a descent is
tuned on the first corpus, all figures are of the second.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import search_curves
import search_speed
import search_velocity
import torch
from searcher import Searcher

MEASURES = {"curves": search_curves, "speed": search_speed, "velocity": search_velocity}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("result", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tune", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--network", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument(
        "--own", metavar="NAME", required=True, help="the network that is tailored and that descents begin from"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    networks = {name: Path(file) for name, _, file in (text.partition("=") for text in args.network)}
    searcher = Searcher(args.model, networks, args.tune, args.test, args.quick)
    common.write_json(args.result, MEASURES[args.what].measure(searcher, args.own))
    return 0


if __name__ == "__main__":
    sys.exit(main())
