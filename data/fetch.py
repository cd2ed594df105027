"""Fetch public corpora and convert them to the course's format, beside the shipped ones in data/.

    python data/fetch.py --list                     what there is, how large, under which licence, and what is here
    python data/fetch.py ewt                        download one corpus and convert it
    python data/fetch.py ewt wnut --cache ~/corpora keep the downloads there, and take them from there next time
    python data/fetch.py all --from ~/corpora       convert a local copy; no network

NAME      makes                        what it is
ewt       ewt* (Penn), ewtu* (UD)      English web text with part-of-speech tags
ewtdep    dep* (400), depfull* (all)   the same text with dependency supertags: a large label set
twpos     tw*                          tweets with part-of-speech tags
wnut      wnut*                        new and rare names in user-generated English
nerbtc    btc*                         names in tweets
skmorph   sk* (400), skfull* (all)     Slovak with morphological tags: a large label set

Each gives a training file (sup), a development file (dev) and a test file (test): `cd code; python tag.py ewtdev`.
Downloads are by git, only the files needed, each from one pinned commit on GitHub (sources.tsv). Every source file is
checked before it is converted, and every output before it appears under its name (outputs.tsv), by SHA-256; so what you
get is byte for byte what everybody gets. Corpora that are here and right are left alone.
A local copy (--from DIR) has for each source a folder, a git checkout or a tar.xz archive called NAME or OWNER+NAME
after the repository: UD_English-EWT, UniversalDependencies+UD_English-EWT.tar.xz; a cache is such a copy, too.

The corpora are other people's work: each has its licence and a paper to cite, which are printed. data/README.md has
the table. Exit status: 0 done; 2 a source is not to be had, or is not the pinned one; 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converters import CONVERTERS, SourceError, convert, render
from sources import HOST, FetchError, Source, cached, local, read_sources

try:
    from tqdm import tqdm
except ImportError:  # this script needs nothing but Python
    tqdm = None

TABLES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class About:
    """What the user is told of a corpus: what it is, its licence, and what to cite."""

    title: str
    licence: str
    citations: tuple[str, ...]


EWT_LICENCE = (
    "CC BY-SA 4.0 (the annotation and the database rights; the texts are in the public domain in part, and in part "
    "may be (c) 2012 Google Inc., 2011 Yahoo! Inc., 2012 Trustees of the University of Pennsylvania or other authors)"
)
EWT_CITATION = (
    "Natalia Silveira, Timothy Dozat, Marie-Catherine de Marneffe, Samuel Bowman, Miriam Connor, John Bauer and "
    "Christopher D. Manning. A Gold Standard Dependency Corpus for English. LREC 2014."
)
ABOUT = {
    "ewt": About("English web text, Penn (ewt*) and universal (ewtu*) parts of speech", EWT_LICENCE, (EWT_CITATION,)),
    "ewtdep": About("English web text, dependency supertags", EWT_LICENCE, (EWT_CITATION,)),
    "twpos": About(
        "tweets, parts of speech",
        "CC BY 3.0",
        (
            "Kevin Gimpel, Nathan Schneider, Brendan O'Connor, Dipanjan Das, Daniel Mills, Jacob Eisenstein, Michael "
            "Heilman, Dani Yogatama, Jeffrey Flanigan and Noah A. Smith. Part-of-Speech Tagging for Twitter: "
            "Annotation, Features, and Experiments. ACL 2011.",
            "Olutobi Owoputi, Brendan O'Connor, Chris Dyer, Kevin Gimpel, Nathan Schneider and Noah A. Smith. Improved "
            "Part-of-Speech Tagging for Online Conversational Text with Word Clusters. NAACL 2013.",
        ),
    ),
    "wnut": About(
        "user-generated English (WNUT 2017), named entities of six types",
        "CC BY 4.0",
        (
            "Leon Derczynski, Eric Nichols, Marieke van Erp and Nut Limsopatham. Results of the WNUT2017 Shared Task "
            "on Novel and Emerging Entity Recognition. W-NUT at EMNLP 2017.",
        ),
    ),
    "nerbtc": About(
        "tweets (Broad Twitter Corpus), named entities of three types",
        "CC BY 4.0",
        (
            "Leon Derczynski, Kalina Bontcheva and Ian Roberts. Broad Twitter Corpus: A Diverse Named Entity "
            "Recognition Resource. COLING 2016, 1169-1179.",
        ),
    ),
    "skmorph": About(
        "Slovak Dependency Treebank, morphological tags",
        "CC BY-SA 4.0",
        (
            "Katarína Gajdošová, Mária Šimková et al. Slovak Dependency Treebank. LINDAT/CLARIN, 2016, "
            "http://hdl.handle.net/11234/1-1822.",
            "Daniel Zeman. Slovak Dependency Treebank in Universal Dependencies. Jazykovedný časopis 68(2), 2017, "
            "385-395.",
        ),
    ),
}


@dataclass(frozen=True)
class Output:
    """One line of outputs.tsv: a corpus file, what is in it, and what its bytes are."""

    corpus: str
    file: str
    sentences: int
    tokens: int
    tags: int
    bytes: int
    sha256: str

    def is_right(self, content: bytes) -> bool:
        return len(content) == self.bytes and hashlib.sha256(content).hexdigest() == self.sha256

    def is_in(self, folder: Path) -> bool:
        path = folder / self.file
        return path.is_file() and path.stat().st_size == self.bytes and self.is_right(path.read_bytes())


def read_outputs(table: Path) -> dict[str, list[Output]]:
    """outputs.tsv, by the names of the corpora."""
    outputs: dict[str, list[Output]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            sizes = {name: int(row[name]) for name in ("sentences", "tokens", "tags", "bytes")}
            outputs.setdefault(row["corpus"], []).append(Output(**{**row, **sizes}))
    return outputs


@contextmanager
def progress(what: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar of bytes, on a terminal only; without tqdm one line."""
    if tqdm is not None:
        with tqdm(
            total=total, desc=what, unit="B", unit_scale=True, leave=False, disable=True if quiet else None
        ) as bar:  # fmt: skip
            yield bar.update
    else:
        if not quiet:
            print(f"{what} ...", file=sys.stderr)
        yield lambda size: None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def write_outputs(name: str, files: dict[str, bytes], outputs: list[Output], folder: Path, quiet: bool) -> None:
    """Convert the sources of a corpus and write its files, all of them checked before the first appears.

    Raises:
        FetchError: what the converter writes is not what outputs.tsv says.
        SourceError: a source is malformed.
    """
    with progress(f"{name}: converting", sum(map(len, files.values())), quiet) as advance:
        made = {file: render(sentences) for file, sentences in convert(CONVERTERS[name], files, advance).items()}
    wrong = [output.file for output in outputs if not output.is_right(made[output.file])]
    if wrong:
        raise FetchError(f"{name}: {' '.join(wrong)}: not what outputs.tsv says; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for output in outputs:
        replace_file(folder / output.file, made[output.file])


def listing(outputs: dict[str, list[Output]], folder: Path) -> str:
    """What --list prints."""
    lines: list[str] = []
    for name, about in ABOUT.items():
        size = sum(output.bytes for output in outputs[name]) / 1e6
        lines += [f"{name}: {about.title}; {size:.1f} MB", f"  licence: {about.licence}"]
        for output in outputs[name]:
            here = "here" if output.is_in(folder) else "differs" if (folder / output.file).exists() else "-"
            sizes = f"{output.sentences:>6,} sentences {output.tokens:>8,} tokens {output.tags:>6,} tags"
            lines.append(f"  {output.file:<12}{sizes}  {here}")
    return "\n".join(lines)


def report(name: str, source: Source, did: str) -> str:
    """What is printed of a corpus when it is there."""
    about = ABOUT[name]
    return "\n".join([
        f"{name}: {did}",
        f"  source: {HOST}/{source.repository}, commit {source.commit}",
        f"  licence: {about.licence}",
        *(f"  please cite: {citation}" for citation in about.citations),
    ])  # fmt: skip


def fetch(names: Sequence[str], get: Callable[[Source, str], dict[str, bytes]], folder: Path, quiet: bool) -> None:
    """Have the files of each corpus in a folder, getting the sources of those that are not there yet.

    Args:
        get: from a source and the corpus it is for to its files, checked.
    """
    sources, outputs = read_sources(TABLES / "sources.tsv"), read_outputs(TABLES / "outputs.tsv")
    seen: dict[Source, dict[str, bytes]] = {}  # two corpora may come from one source
    for name in names:
        source = sources[name]
        files = " ".join(output.file for output in outputs[name])
        if all(output.is_in(folder) for output in outputs[name]):
            print(report(name, source, f"{files}: here and right already"))
            continue
        if source not in seen:
            seen[source] = get(source, name)
        write_outputs(name, seen[source], outputs[name], folder, quiet)
        print(report(name, source, f"wrote {files} to {folder}"))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fetch.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{' '.join(ABOUT)}, or all")
    parser.add_argument("--list", action="store_true", help="say what there is and what is here; fetch nothing")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--from", type=Path, dest="copy", metavar="DIR", help="take the sources from this local copy")
    origin.add_argument("--cache", type=Path, metavar="DIR", help="keep downloads here (default: they are removed)")
    parser.add_argument("--to", type=Path, default=TABLES, metavar="DIR", help="where the corpora go (default: data/)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on standard error (or TQDM_DISABLE=1)")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.names if name not in (*ABOUT, "all")]
    if unknown:
        parser.exit(2, f"fetch.py: no corpus {unknown[0]!r} (there are: {' '.join(ABOUT)}, and all)\n")
    if not args.names and not args.list:
        parser.exit(2, f"fetch.py: name what to fetch: {' '.join(ABOUT)}, or all (--help says more)\n")
    args.quiet = args.quiet or bool(os.environ.get("TQDM_DISABLE"))
    args.names = list(ABOUT) if "all" in args.names else list(dict.fromkeys(args.names))
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        if args.list:
            print(listing(read_outputs(TABLES / "outputs.tsv"), args.to))
            return 0
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:

            def get(source: Source, name: str) -> dict[str, bytes]:
                if args.copy is not None:
                    return local(args.copy.expanduser(), source)
                with progress(f"{name}: downloading", None, args.quiet) as advance:
                    return cached((args.cache or Path(temporary)).expanduser(), source, advance)

            fetch(args.names, get, args.to, args.quiet)
    except (FetchError, SourceError, OSError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fetch.py: interrupted; no half-written file is left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # names have letters that not every console can show
    sys.exit(main())
