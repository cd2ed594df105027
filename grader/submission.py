"""A submission as it comes, a folder or an archive, made into a clean copy that holds plain files only.

Everything is decided by names and sizes before a byte is written: links, devices, absolute names, `..`, names that
clash where case does not count, and bombs (by what the archive declares, and by what then comes out of it) are
refused. What a student's machine adds without asking (macOS junk, a folder around it all, caches) is passed over.
The copy has one folder, code/, beside it partners.txt and models/.
"""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import hashlib
import io
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from grader.assignment import Layout
from grader.errors import StudentFault, UsageError

JUNK = ("__MACOSX", ".DS_Store", "._*", "Thumbs.db", "desktop.ini", "__pycache__", "*.pyc", ".git", ".gitignore",
        ".ipynb_checkpoints", ".venv", ".idea", ".vscode", ".pytest_cache", ".mypy_cache", ".ruff_cache")  # fmt: skip
LONGEST_NAME = 200
CHUNK = 1 << 16


@dataclass(frozen=True)
class Submission:
    """A clean copy.

    Attributes:
        name: what it was called.
        folder: the copy, with code/ in it.
        sha256: of the archive's bytes, or of a folder's names and contents.
        left_out: files that the assignment does not take.
        missing: files that the assignment wants and that are not there.
        notes: what a student should know about how the layout was read.
    """

    name: str
    folder: Path
    sha256: str
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def code(self) -> Path:
        return self.folder / "code"


def refuse(why: str) -> StudentFault:
    return StudentFault("violation", f"the submission was not unpacked: {why}")


def printable(name: str, longest: int = 80) -> str:
    """A name of a stranger's choice in plain ASCII, for a message."""
    text = name.encode("unicode_escape", errors="backslashreplace").decode("ascii")
    return text if len(text) <= longest else text[: longest - 3] + "..."


def sha256_of(path: Path, layout: Layout) -> str:
    """The hash of a submission as it came. Raises UsageError if it is not there, StudentFault if it is too large."""
    total = hashlib.sha256()
    if path.is_dir():
        for name, data in sorted(folder_members(path, layout)):
            total.update(hashlib.sha256(os.fsencode(name)).digest() + hashlib.sha256(data).digest())
    else:
        total.update(read_archive(path, layout))
    return total.hexdigest()


def unpack(path: Path, destination: Path, layout: Layout) -> Submission:
    """Make the clean copy in `destination`, a folder that does not exist yet.

    Raises:
        UsageError: there is no such file or folder.
        StudentFault: violation, the submission is refused; bad_output, it is no archive that we know.
    """
    sha256 = sha256_of(path, layout)
    if path.is_dir():
        members = folder_members(path, layout)
    else:
        members = archive_members(read_archive(path, layout), layout)
    files: dict[str, bytes] = {}
    names: list[str] = []
    total = 0
    for name, data in members:
        total += len(data)
        if total > layout.expanded_bytes:
            raise refuse(f"it holds more than {layout.expanded_bytes >> 20} MB")
        if name is not None:
            names.append(name)
            files[name] = data
    refuse_clashes(names)
    top = find_code(list(files), layout)
    kept, left_out = sort_files(files, top, layout)
    notes = [f"read {printable(top)}/ as code/"] if top not in ("", "code") else []
    missing = tuple(name for name in layout.required if f"code/{name}" not in kept)
    for name in missing:
        stem = PurePosixPath(name).stem
        if any(PurePosixPath(other).name == f"{stem}.ipynb" for other in files):
            notes.append(f"{stem}.ipynb is a notebook: export it as {name}")
    destination.mkdir(parents=True)
    (destination / "code").mkdir()
    for name, data in kept.items():
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return Submission(path.name, destination, sha256, tuple(left_out), missing, tuple(notes))


# What comes in


def check_name(raw: str, layout: Layout) -> str | None:
    """A member's name in its normal form; None for junk.

    Raises:
        StudentFault: violation; a name that could lead outside, or that no file of a homework has.
    """
    name = unicodedata.normalize("NFC", raw.replace("\\", "/"))
    shown = printable(raw)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise refuse(f"{shown}: a name that is no UTF-8") from None
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in name):
        raise refuse(f"{shown}: a name with invisible characters")
    if name.startswith("/") or name[1:2] == ":":
        raise refuse(f"{shown}: an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refuse(f"{shown}: a name that leads outside")
    if any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise refuse(f"{shown}: a name longer than {LONGEST_NAME} bytes")
    if len(parts) > layout.depth:
        raise refuse(f"{shown}: folders nested deeper than {layout.depth}")
    if any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in JUNK):
        return None
    return "/".join(parts) or None


def read_archive(path: Path, layout: Layout) -> bytes:
    """The bytes of an archive. Raises UsageError if it is not there, StudentFault if it is too large."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path}: no file and no folder")
            data = file.read(layout.archive_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if len(data) > layout.archive_bytes:
        raise refuse(f"the archive is larger than {layout.archive_bytes >> 20} MB")
    return data


def folder_members(path: Path, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """The files of a folder, links and devices refused, nothing outside of it opened."""
    count = total = 0
    for folder, folders, names in os.walk(path, onerror=_refuse_folder):
        folders.sort()
        inside = os.path.relpath(folder, path)
        prefix = "" if inside == "." else inside + "/"
        for name in list(folders):
            if os.path.islink(os.path.join(folder, name)):
                raise refuse(f"{printable(prefix + name)}: a link")
            if check_name(prefix + name, layout) is None:
                folders.remove(name)
        for name in sorted(names):
            full = check_name(prefix + name, layout)
            if full is None:
                continue
            count += 1
            if count > layout.files:
                raise refuse(f"more than {layout.files} files")
            data = _read_plain(os.path.join(folder, name), prefix + name, layout.expanded_bytes - total)
            total += len(data)
            yield full, data


def _refuse_folder(error: OSError) -> None:
    raise refuse(f"{printable(str(error.filename))}: {error.strerror}")


def _read_plain(path: str, name: str, limit: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise refuse(f"{printable(name)}: a link, or not readable ({error.strerror})") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refuse(f"{printable(name)}: no plain file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise refuse("its files are too large together")
    return data


def archive_members(data: bytes, layout: Layout) -> Iterator[tuple[str | None, bytes]]:
    """The plain files of a zip or tar; junk comes with the name None, as its bytes count too."""
    try:
        if data.startswith(b"PK"):
            yield from zip_members(data, layout)
        elif data.startswith((b"\x1f\x8b", b"BZh")) or data[257:262] == b"ustar":
            yield from tar_members(data, layout)
        else:
            raise StudentFault("bad_output", "no zip, tar, tar.gz or tar.bz2 (judged by its contents, not its name)")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, ValueError, LookupError, MemoryError) as error:
        raise StudentFault("bad_output", f"the archive is broken: {printable(str(error))}") from None
    except (zipfile.zlib.error, NotImplementedError, RuntimeError, RecursionError) as error:
        raise StudentFault("bad_output", f"the archive is broken: {printable(str(error))}") from None


def zip_members(data: bytes, layout: Layout) -> Iterator[tuple[str | None, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if len(infos) > layout.files:
            raise refuse(f"more than {layout.files} files")
        if sum(info.file_size for info in infos) > layout.expanded_bytes:
            raise refuse(f"it holds more than {layout.expanded_bytes >> 20} MB")
        names: list[str | None] = []
        for info in infos:  # all of them, before the first is opened
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refuse(f"{printable(info.orig_filename)}: a link or a device")
            if info.flag_bits & 1:
                raise refuse(f"{printable(info.orig_filename)}: encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise refuse(f"{printable(info.orig_filename)}: packed by a method other than deflate")
            names.append(check_name(info.orig_filename, layout))
        refuse_clashes([name for name, info in zip(names, infos) if name and not info.is_dir()])
        for name, info in zip(names, infos):
            if not info.is_dir():
                with archive.open(info) as member:
                    content = member.read(info.file_size + 1)
                if len(content) != info.file_size:
                    raise refuse(f"{printable(info.orig_filename)}: not of the size that the archive declares")
                yield name, content


class Bounded(io.RawIOBase):
    """A stream from which only so many bytes come."""

    def __init__(self, stream: io.BufferedIOBase, limit: int):
        self.stream, self.left = stream, limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(CHUNK if size is None or size < 0 else min(size, CHUNK))
        self.left -= len(data)
        if self.left < 0:
            raise refuse("it unpacks to more than is allowed")
        return data


def tar_members(data: bytes, layout: Layout) -> Iterator[tuple[str | None, bytes]]:
    raw = io.BytesIO(data)
    opened = gzip.GzipFile(fileobj=raw) if data[:2] == b"\x1f\x8b" else bz2.BZ2File(raw) if data[:3] == b"BZh" else raw
    # as a stream, read once, so that headers count too; each file has a header of 512 bytes or a few
    bounded = Bounded(opened, layout.expanded_bytes + layout.files * 4096)
    with closing(opened), tarfile.open(fileobj=bounded, mode="r|") as archive:
        for number, info in enumerate(archive):
            if number >= layout.files:
                raise refuse(f"more than {layout.files} files")
            name = check_name(info.name, layout)
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                raise refuse(f"{printable(info.name)}: a link, a device, or a sparse file")
            if info.size > layout.expanded_bytes:
                raise refuse(f"{printable(info.name)}: too large")
            content = archive.extractfile(info).read(info.size + 1)
            if len(content) != info.size:
                raise refuse(f"{printable(info.name)}: not of the size that the archive declares")
            yield name, content


def refuse_clashes(names: list[str]) -> None:
    """Two members of one name, where case does not count, or one that is a file and a folder."""
    seen: set[str] = set()
    for name in names:
        key = name.casefold()
        if key in seen:
            raise refuse(f"{printable(name)}: two files of this name (case does not count)")
        seen.add(key)
    for key in seen:
        parents = PurePosixPath(key).parents
        if any(str(parent) in seen for parent in parents):
            raise refuse(f"{printable(key)}: inside of a file")


# Which of it is code/


def find_code(names: list[str], layout: Layout) -> str:
    """The folder that becomes code/: the uppermost that holds the first required file, else one called code, else the
    uppermost with any Python in it."""

    def folders(wanted: str) -> list[str]:
        found = {str(PurePosixPath(name).parent) for name in names if fnmatch.fnmatchcase(name.split("/")[-1], wanted)}
        return sorted(("" if folder == "." else folder for folder in found), key=lambda f: (f.count("/") + bool(f), f))

    entry = folders(layout.required[0])
    if entry:
        level = entry[0].count("/") + bool(entry[0])
        same = [folder for folder in entry if folder.count("/") + bool(folder) == level]
        return next((folder for folder in same if folder.split("/")[-1] == "code"), entry[0])
    python = folders("*.py")
    named = [folder for folder in python if folder.split("/")[-1] == "code"]
    return (named or python or [""])[0]


def sort_files(files: dict[str, bytes], top: str, layout: Layout) -> tuple[dict[str, bytes], list[str]]:
    """Files of the clean copy by their names in it, and the names of those that the assignment does not take."""
    inside = f"{top}/" if top else ""
    above = str(PurePosixPath(top).parent) + "/" if "/" in top else ""
    if top.split("/")[-1] != "code":
        above = inside  # partners.txt lies beside the *.py, too
    kept: dict[str, bytes] = {}
    left_out: list[str] = []
    for name, data in files.items():
        beside = name.removeprefix(above) if name.startswith(above) else None
        within = name.removeprefix(inside) if name.startswith(inside) else None
        if beside is not None and any(fnmatch.fnmatchcase(beside, pattern) for pattern in layout.beside):
            kept[beside] = data
        elif within is not None and any(fnmatch.fnmatchcase(within, pattern) for pattern in layout.keep):
            kept[f"code/{within}"] = data
        else:
            left_out.append(name)
    return kept, left_out
