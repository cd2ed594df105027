"""What the scripts of experiments have in common: their options, and how they end."""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plots

EACH = "seeds 0 to N - 1"
AT_MOST = "at most so many of each row"


def options(
    what: str,
    doc: str | None,
    arguments: Sequence[str] | None,
    names: Iterable[str],
    groups: Iterable[str] = (),
    seeds: int | None = 3,
    which: str = EACH,
    jobs: bool = True,
) -> argparse.Namespace:
    """The options --quick, --seeds, --jobs, --only and --out; --quick is for one seed, in a temporary folder.

    Args:
        what: the script, without its ending; its single results are in results/WHAT.
        names: what --only may name; groups: names of several at once, which alone stand in its help.
        seeds: the default; which: what its number means.
        jobs: whether runs may go on side by side.

    Returns:
        The options, `out` always a folder, and `folder` that of the single results.
    """
    names, groups = list(names), list(groups)
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed and next to no training, in a temporary folder")
    default = "" if seeds is None else f" (default {seeds})"
    parser.add_argument("--seeds", type=int, default=seeds, metavar="N", help=which + default)
    if jobs:
        parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores")
    shown = ", ".join(groups or names)
    parser.add_argument("--only", nargs="+", choices=[*groups, *names], metavar="NAME", help=shown)
    parser.add_argument("--out", type=Path, help="folder for results/ and figures/ (default: writeup/)")
    args = parser.parse_args(arguments)
    if (args.seeds is not None and args.seeds < 1) or (jobs and args.jobs < 1):
        parser.error(f"--seeds{' and --jobs' if jobs else ''} must be at least 1")
    if args.quick:
        args.seeds = 1
    args.out = args.out or (Path(tempfile.mkdtemp(prefix=f"{what}-")) if args.quick else common.WRITEUP)
    args.folder = args.out / "results" / what
    return args


def finish(
    what: str,
    out: Path,
    summary: Mapping[str, Any],
    page: str,
    draw: Callable[[Path], None] | None = None,
    left_out: Iterable[str] = (),
    failures: Sequence[str] = (),
) -> int:
    """Write results/WHAT.json and .md and the figures, tell what was left out and what failed; the exit status.

    Args:
        out: the folder of results/ and figures/.
        page: the text of the .md file.
        draw: makes the figures in a folder; only called where there is matplotlib.
        left_out, failures: a line each.
    """
    path = out / "results" / f"{what}.json"
    common.write_json(path, summary)
    common.write_text(path.with_suffix(".md"), page)
    print(f"in {path} and {path.with_suffix('.md')}")
    if draw and plots.matplotlib is None:
        print(plots.NO_PLOTS)
    elif draw:
        draw(out / "figures")
    for line in left_out:
        print(line)
    for failure in failures:
        print(f"{what}.py: error: {failure}", file=sys.stderr)
    return 1 if failures else 0
