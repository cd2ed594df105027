"""Get the source files of public corpora, by git or from a local copy, and check that they are the right ones.

sources.tsv pins them: repository on GitHub, commit, path, number of files, bytes, SHA-256. Where a path has a `*` in
it, bytes is the sum over its files, and the SHA-256 that of what `LC_ALL=C sha256sum *.conllu` prints in their folder,
so one line stands for many files.

Nothing is unpacked or run: archives are read in memory, and only regular files that sources.tsv names. Only the
standard library is used; git does the downloading.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

HOST = "https://github.com"
POLL_SECONDS = 0.2
# A repository that git is told of by the environment (as hooks are) is not the one that is meant here.
GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")


class FetchError(Exception):
    """A corpus cannot be had: one line that says why."""


@dataclass(frozen=True)
class SourceFiles:
    """One line of sources.tsv: a file, or the files that a path with a `*` stands for."""

    corpora: str
    repository: str
    commit: str
    path: str
    files: int
    bytes: int
    sha256: str

    def is_for(self, path: str) -> bool:
        return fnmatchcase(path, self.path) and path.count("/") == self.path.count("/")


@dataclass(frozen=True)
class Source:
    """The files that one corpus needs, all from one commit of one repository."""

    repository: str
    commit: str
    wanted: tuple[SourceFiles, ...]

    @property
    def folder(self) -> str:
        return self.repository.replace("/", "+")

    @property
    def names(self) -> tuple[str, str]:
        """What a local copy of the repository may be called: OWNER+NAME or NAME."""
        return self.folder, self.repository.partition("/")[2]

    def wants(self, path: str) -> SourceFiles | None:
        return next((line for line in self.wanted if line.is_for(path)), None)


def read_sources(table: Path) -> dict[str, Source]:
    """sources.tsv, by the names of the corpora."""
    lines: dict[str, list[SourceFiles]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            line = SourceFiles(**{**row, "files": int(row["files"]), "bytes": int(row["bytes"])})
            for corpus in line.corpora.split(" "):
                lines.setdefault(corpus, []).append(line)
    return {name: Source(wanted[0].repository, wanted[0].commit, tuple(wanted)) for name, wanted in lines.items()}


# Checking


def digest(contents: dict[str, bytes]) -> str:
    """SHA-256 of one file, or of the `sha256sum` listing of several (their names without folders, sorted by path)."""
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    listing = "".join(f"{sums[path]}  {path.rpartition('/')[2]}\n" for path in sorted(sums))
    return hashlib.sha256(listing.encode()).hexdigest()


def check(files: dict[str, bytes], source: Source, place: str) -> dict[str, bytes]:
    """The files, if they are byte for byte those that sources.tsv pins.

    Raises:
        FetchError: one is missing or differs.
    """
    for line in source.wanted:
        found = {path: content for path, content in files.items() if line.is_for(path)}
        if len(found) != line.files:
            has = f"{len(found)} of the {line.files} files {line.path}" if found else f"no {line.path}"
            raise FetchError(f"{place}: has {has}")
        one_file = "*" not in line.path
        sha256 = hashlib.sha256(files[line.path]).hexdigest() if one_file else digest(found)
        if sha256 != line.sha256:
            raise FetchError(
                f"{place}: {line.path}: SHA-256 is {sha256}, not {line.sha256} "
                f"as at commit {source.commit[:12]} of {source.repository}"
            )
    return files


# A local copy


def read_folder(folder: Path, source: Source) -> dict[str, bytes]:
    """The wanted files below a folder, those that are there."""
    paths = [path for line in source.wanted for path in folder.glob(line.path) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_archive(archive: Path, source: Source) -> dict[str, bytes]:
    """The wanted files in a tar.xz archive of one folder, read in memory: no path in it can lead anywhere.

    Raises:
        FetchError: it is no such archive, or a file in it is larger than it should be.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for member in tar:
                path = member.name.removeprefix("./").partition("/")[2]
                line = source.wants(path) if member.isfile() else None
                if line is None:
                    continue
                if member.size > line.bytes:
                    raise FetchError(f"{archive}: {path}: {member.size:,} bytes, more than it should have")
                files[path] = tar.extractfile(member).read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise FetchError(f"{archive}: not a tar.xz archive that can be read: {error}") from None
    return files


def read_commit(checkout: Path, source: Source) -> dict[str, bytes]:
    """The wanted files of a git checkout at the pinned commit, whatever is checked out. {} if it lacks that commit."""

    def ask(*arguments: str, given: bytes = b"") -> bytes:
        command = ["git", "-C", str(checkout), *arguments]
        environment = {**git_environment(), "GIT_NO_LAZY_FETCH": "1"}
        return subprocess.run(command, input=given, capture_output=True, check=True, env=environment).stdout

    try:
        names = ask("ls-tree", "-r", "-z", "--name-only", "--full-tree", source.commit).decode().split("\0")
        paths = [path for path in names if source.wants(path)]
        answer = ask("cat-file", "--batch", given="".join(f"{source.commit}:{path}\n" for path in paths).encode())
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return {}
    files: dict[str, bytes] = {}
    for path in paths:  # each answer is `<id> blob <size>`, the content, and a newline; `<name> missing` if it is not
        head, _, answer = answer.partition(b"\n")
        if head.endswith(b" missing"):
            continue
        size = int(head.rpartition(b" ")[2])
        files[path], answer = answer[:size], answer[size + 1 :]
    return files


def read_checkout(folder: Path, source: Source) -> dict[str, bytes]:
    """The files as they lie in a folder or, where those are not right and git has the pinned commit, as at that commit.

    Raises:
        FetchError: neither has the right files.
    """
    try:
        return check(read_folder(folder, source), source, str(folder))
    except FetchError:
        at_commit = read_commit(folder, source) if (folder / ".git").exists() else {}
        if not at_commit:
            raise
        return check(at_commit, source, str(folder))


def local(folder: Path, source: Source) -> dict[str, bytes]:
    """The files of a source from a local copy.

    Args:
        folder: has OWNER+NAME or NAME in it, as a folder, a git checkout or a tar.xz archive; or is itself one.

    Raises:
        FetchError: no such folder or copy, or it has not the right files.
    """
    if not folder.exists():
        raise FetchError(f"{folder}: no such folder")
    for name in source.names:
        archive, copy = (folder if folder.name == inside else folder / inside for inside in (f"{name}.tar.xz", name))
        if archive.is_file():
            return check(read_archive(archive, source), source, str(archive))
        if copy.is_dir():
            return read_checkout(copy, source)
    names = " or ".join(f"{name}[.tar.xz]" for name in source.names)
    raise FetchError(f"{folder}: no {names} in it (the sources of {source.repository})")


# Downloading


def git_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    return {**environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def size_of(folder: Path) -> int:
    """Bytes in all files below a folder, some of which may just be vanishing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def git(folder: Path, *arguments: str, advance: Callable[[int], object]) -> None:
    """Run git in a folder; `advance` is told of the bytes that come into it.

    Raises:
        FetchError: git is not installed, or fails (with the line that says why).
    """
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                ["git", *arguments], cwd=folder, env=git_environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages,
            )  # fmt: skip
        except OSError:
            raise FetchError("git is not installed; get it from https://git-scm.com, or see --from") from None
        seen = size_of(folder)
        try:
            while process.poll() is None:
                try:
                    process.wait(POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
                now = size_of(folder)
                advance(max(now - seen, 0))
                seen = max(now, seen)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines() or ["no message"]
            fatal = [line for line in lines if line.startswith("fatal:")] or lines
            raise FetchError(f"git {arguments[0]}: {fatal[0]}")


def download(source: Source, folder: Path, advance: Callable[[int], object] = lambda size: None) -> None:
    """Check out the wanted files of a source, and nothing else, at the pinned commit into an empty folder.

    Raises:
        FetchError: there is no git or no network, or the host does not have that commit.
    """
    git(folder, "init", "--quiet", "--template=", advance=advance)
    info = folder / ".git" / "info"
    info.mkdir(exist_ok=True)
    (info / "sparse-checkout").write_text("".join(f"/{line.path}\n" for line in source.wanted), encoding="utf-8")
    (info / "attributes").write_text("* -text\n", encoding="utf-8")  # bytes as they are, on Windows too
    settings = {
        "remote.origin.url": f"{HOST}/{source.repository}",
        "core.sparseCheckout": "true",
        "core.sparseCheckoutCone": "false",
        "http.lowSpeedLimit": "1000",  # bytes a second; slower than that for a minute is no network
        "http.lowSpeedTime": "60",
    }
    for name, value in settings.items():
        git(folder, "config", name, value, advance=advance)
    try:
        git(folder, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", source.commit, advance=advance)
        git(folder, "checkout", "--quiet", "--detach", source.commit, advance=advance)
    except FetchError as error:
        raise FetchError(
            f"{source.repository} cannot be downloaded ({error}); is there a network? or see --from"
        ) from None


def cached(cache: Path, source: Source, advance: Callable[[int], object] = lambda size: None) -> dict[str, bytes]:
    """The files of a source from the cache, downloaded into it if they are not there yet.

    Raises:
        FetchError: as `download` and `check` do.
    """
    kept = cache / source.folder
    if kept.exists():
        return check(read_folder(kept, source), source, f"{kept} (remove it to download again)")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{source.folder}.", dir=cache, ignore_cleanup_errors=True) as partial:
        checkout = Path(partial) / source.folder
        checkout.mkdir()
        download(source, checkout, advance)
        files = check(read_folder(checkout, source), source, source.repository)
        checkout.rename(kept)
    return files
