"""Install a test set that nobody has seen, in place of the one that is public with this package.

    python -m grader secret --from my-test-corpus      # one sentence a line, tokens word/TAG, tags as in ensup
    python -m grader secret --show
    python -m grader secret --remove

It lies outside of the repository, in $NEURALIZATION_SECRET or ~/.config/neuralization/secret, for you alone to read.
`gradescope` puts it into the zip. Until there is one, each result says that the test set is public.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

from grader.errors import GraderFault, UsageError
from grader.results import PACKAGE, ROOT
from grader.scoring import Tagged, read_gold

VARIABLE = "NEURALIZATION_SECRET"
FEWEST = 50  # sentences: fewer would tell students apart by chance
TAGS_FROM = {"entest": "ensup", "ptbtest": "ptbsup", "nertest": "nersup", "pairstest": "pairssup"}


def secret_folder() -> Path:
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".config" / "neuralization" / "secret"


def gold_path(name: str) -> tuple[Path, bool]:
    """The tagged test file to score against, and whether it is a secret one."""
    path = secret_folder() / name
    return (path, True) if path.is_file() else (PACKAGE / "data" / name, False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="entest", choices=sorted(TAGS_FROM), help="which test set (entest)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--from", dest="source", type=Path, metavar="FILE", help="install this tagged corpus")
    what.add_argument("--show", action="store_true", help="say which test set is in use")
    what.add_argument("--remove", action="store_true", help="go back to the public one")


def run(args: argparse.Namespace) -> int:
    if args.source:
        install(args.source, args.name)
    if args.remove:
        path, secret = gold_path(args.name)
        if not secret:
            raise UsageError(f"no secret {args.name} is installed in {secret_folder()}")
        path.unlink()
    path, secret = gold_path(args.name)
    sentences = read_gold(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    what = "secret" if secret else "PUBLIC with this package"
    tokens = sum(map(len, sentences))
    print(f"{args.name}: {what}, {len(sentences):,} sentences, {tokens:,} tokens, sha256 {sha256[:16]}, {path}")
    return 0


def install(source: Path, name: str) -> Path:
    """Check a corpus and put it where `gold_path` finds it.

    Raises:
        UsageError: it is no tagged corpus of this tag set, too small, public, or the place is inside of the repository.
    """
    folder = secret_folder()
    if folder.resolve().is_relative_to(ROOT):
        raise UsageError(f"{folder}: is inside of the repository; set ${VARIABLE} to a folder elsewhere")
    try:
        sentences = read_gold(source)
        known = {tag for sentence in read_gold(ROOT / "data" / TAGS_FROM[name]) for tag in sentence.tags}
    except GraderFault as fault:
        raise UsageError(str(fault)) from None
    check(sentences, known, name, source)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    target, partial = folder / name, folder / f".{name}.partial"
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(source.read_bytes())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def check(sentences: list[Tagged], known: set[str], name: str, source: Path) -> None:
    """Raise UsageError if these sentences will not do for a test set."""
    for number, sentence in enumerate(sentences, start=1):
        strange = sorted(set(sentence.tags) - known)
        if strange:
            raise UsageError(f"{source}: sentence {number}: no tag of {TAGS_FROM[name]}: {strange[0]!r}")
    if len(sentences) < FEWEST:
        raise UsageError(f"{source}: {len(sentences)} sentences are too few to tell taggers apart; at least {FEWEST}")
    public = {
        sentence.words
        for home in (PACKAGE / "data", ROOT / "data")
        for corpus in (name, TAGS_FROM[name], TAGS_FROM[name].replace("sup", "dev"))
        if (home / corpus).is_file()
        for sentence in read_gold(home / corpus)
    }
    shared = sum(sentence.words in public and len(sentence) > 5 for sentence in sentences)
    if shared > len(sentences) / 10:
        raise UsageError(f"{source}: {shared} of {len(sentences)} sentences are in the public corpora")
