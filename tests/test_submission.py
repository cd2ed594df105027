"""Submissions as they come: what is refused before a byte of it is written, and what is passed over kindly."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from grader.assignment import Layout
from grader.errors import StudentFault, UsageError
from grader.submission import Submission, unpack

LAYOUT = Layout(("tag.py",), ("*.py",), ("partners.txt", "models/*"), 1 << 16, 1 << 20, 20, 5)


def zipped(*members: tuple[str, bytes], **more: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = more.get("mode", 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return data.getvalue()


def tarred(*members: tuple[str, bytes], mode: str = "w", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return data.getvalue()


GOOD = ("code/tag.py", b"print()")


def liar() -> bytes:
    """A zip that declares 10 bytes for 5 MB."""
    content = b"\0" * (5 << 20)
    data = zipped(GOOD, ("code/big.py", content))
    return data.replace(struct.pack("<I", len(content)), struct.pack("<I", 10))


ATTACKS: dict[str, Callable[[], bytes]] = {
    "leads outside": lambda: zipped(GOOD, ("../../x.py", b"")),
    "outside by backslashes": lambda: zipped(GOOD, ("code\\..\\..\\x.py", b"")),
    "absolute": lambda: zipped(GOOD, ("/etc/x.py", b"")),
    "drive": lambda: zipped(GOOD, ("C:\\x.py", b"")),
    "outside, in a tar": lambda: tarred(GOOD, ("code/../../x.py", b"")),
    "absolute, in a tar": lambda: tarred(GOOD, ("/tmp/x.py", b"")),
    "link in a zip": lambda: zipped(("code/tag.py", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777),
    "device in a zip": lambda: zipped(GOOD, mode=stat.S_IFCHR | 0o666),
    "link": lambda: tarred(("code/tag.py", b""), kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": lambda: tarred(("code/tag.py", b""), kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "device": lambda: tarred(("code/tag.py", b""), kind=tarfile.CHRTYPE),
    "pipe": lambda: tarred(("code/tag.py", b""), kind=tarfile.FIFOTYPE),
    "names that clash": lambda: zipped(GOOD, ("code/TAG.py", b"")),
    "the same name twice": lambda: tarred(GOOD, GOOD),
    "the same name, written otherwise": lambda: zipped(GOOD, ("code/./tag.py", b"")),
    "the same name by Unicode": lambda: zipped(GOOD, ("code/\u00e9.py", b""), ("code/e\u0301.py", b"")),
    "a file that is a folder": lambda: zipped(GOOD, ("code/tag.py/x.py", b"")),
    "declared bomb": lambda: zipped(GOOD, ("code/zeros.py", b"\0" * (2 << 20))),
    "bomb in small pieces": lambda: zipped(GOOD, *((f"code/{n}.py", b"\0" * 90_000) for n in range(15))),
    "bomb in a tar.gz": lambda: tarred(GOOD, ("code/zeros.py", b"\0" * (8 << 20)), mode="w:gz"),
    "bomb in a tar.bz2": lambda: tarred(GOOD, ("code/zeros.py", b"\0" * (8 << 20)), mode="w:bz2"),
    "bomb of junk": lambda: tarred(GOOD, ("__MACOSX/zeros", b"\0" * (1 << 20)), mode="w:gz"),
    "too many": lambda: zipped(GOOD, *((f"code/{n}.py", b"") for n in range(20))),
    "too many, in a tar": lambda: tarred(GOOD, *((f"code/{n}.py", b"") for n in range(20))),
    "too deep": lambda: zipped(GOOD, ("a/b/c/d/e/f.py", b"")),
    "line break in a name": lambda: zipped(GOOD, ("code/a\nb.py", b"")),
    "turned letters in a name": lambda: zipped(GOOD, ("code/\u202eyp.py", b"")),
    "long name": lambda: zipped(GOOD, ("code/" + "x" * 300 + ".py", b"")),
    "too large": lambda: zipped(GOOD, ("code/random.py", os.urandom(1 << 17))),
    "not UTF-8": lambda: tarred(GOOD, ("code/\udcff.py", b"")),
}
BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "a size that is a lie": liar,
    "text": lambda: b"print('hello')\n" * 50,
    "half a zip": lambda: zipped(GOOD)[:40],
    "half a tar.gz": lambda: tarred(GOOD, ("code/a.py", os.urandom(5000)), mode="w:gz")[:3000],
    "pickle": lambda: b"\x80\x04\x95",
}


@pytest.mark.parametrize("name", [*ATTACKS, *BROKEN])
def test_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes({**ATTACKS, **BROKEN}[name]())
    with pytest.raises(StudentFault) as refused:
        unpack(path, tmp_path / "copy", LAYOUT)
    assert refused.value.verdict == ("violation" if name in ATTACKS else "bad_output")
    assert refused.value.message.isprintable() and refused.value.message.isascii()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


def test_folders_with_links_and_pipes_are_refused(tmp_path: Path) -> None:
    for make in (lambda p: p.symlink_to("/etc/passwd"), lambda p: p.symlink_to("/etc"), os.mkfifo):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "code").mkdir(parents=True)
        make(folder / "code" / "tag.py")
        with pytest.raises(StudentFault) as refused:
            unpack(folder, tmp_path / "copy", LAYOUT)
        assert refused.value.verdict == "violation" and not (tmp_path / "copy").exists()


def test_a_missing_submission_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone"):
        unpack(tmp_path / "gone.zip", tmp_path / "copy", LAYOUT)


def take(tmp_path: Path, data: bytes) -> tuple[Submission, list[str]]:
    path = tmp_path / "x"
    path.write_bytes(data)
    found = unpack(path, tmp_path / "copy", LAYOUT)
    return found, sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file())


PARTNERS = ("partners.txt", b"a\nb\n")
LAYOUTS: dict[str, tuple[bytes, list[str]]] = {
    "as wanted": (zipped(GOOD, PARTNERS), ["code/tag.py", "partners.txt"]),
    "in a folder": (zipped(("hw/code/tag.py", b""), ("hw/partners.txt", b"")), ["code/tag.py", "partners.txt"]),
    "at the top": (zipped(("tag.py", b""), PARTNERS), ["code/tag.py", "partners.txt"]),
    "one folder down": (zipped(("hw/tag.py", b""), ("hw/partners.txt", b"")), ["code/tag.py", "partners.txt"]),
    "backslashes": (zipped(("hw\\code\\tag.py", b""), ("hw\\code\\decoders\\a.py", b"")),
                    ["code/decoders/a.py", "code/tag.py"]),
    "junk of a Mac": (zipped(GOOD, ("__MACOSX/code/._tag.py", b""), ("code/.DS_Store", b""), ("code/._tag.py", b"")),
                      ["code/tag.py"]),
    "caches and history": (zipped(GOOD, ("code/__pycache__/tag.cpython-311.pyc", b""), (".git/config", b"")),
                           ["code/tag.py"]),
    "models": (zipped(GOOD, ("models/best.model", b"\x80")), ["code/tag.py", "models/best.model"]),
    "other files": (zipped(GOOD, ("code/conftest.ini", b""), ("tests/test_tag.py", b""), ("data/entest", b"")),
                    ["code/tag.py"]),
    "odd but harmless names": (zipped(GOOD, ("code/--flag.py", b""), ("code/=cmd().py", b"")),
                               ["code/--flag.py", "code/=cmd().py", "code/tag.py"]),
    "tar": (tarred(GOOD, PARTNERS), ["code/tag.py", "partners.txt"]),
    "tar.gz": (tarred(GOOD, PARTNERS, mode="w:gz"), ["code/tag.py", "partners.txt"]),
    "tar.bz2": (tarred(GOOD, PARTNERS, mode="w:bz2"), ["code/tag.py", "partners.txt"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_that_are_taken(name: str, tmp_path: Path) -> None:
    data, wanted = LAYOUTS[name]
    found, files = take(tmp_path, data)
    assert files == wanted and found.missing == ()


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    found, _ = take(tmp_path, LAYOUTS["other files"][0])
    assert sorted(found.left_out) == ["code/conftest.ini", "data/entest", "tests/test_tag.py"]


def test_line_ends_and_byte_order_marks_stay_as_they_are(tmp_path: Path) -> None:
    program = b"\xef\xbb\xbfprint(1)\r\n"
    found, _ = take(tmp_path, zipped(("code/tag.py", program)))
    assert (found.code / "tag.py").read_bytes() == program


def test_a_notebook_is_no_module(tmp_path: Path) -> None:
    found, _ = take(tmp_path, zipped(("code/tag.ipynb", b"{}"), ("code/crf.py", b"")))
    assert found.missing == ("tag.py",) and any("notebook" in note for note in found.notes)


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "code").mkdir(parents=True)
        (folder / "code" / "tag.py").write_bytes(b"1")
    (two / "code" / "__pycache__").mkdir()
    (two / "code" / "__pycache__" / "x.pyc").write_bytes(b"2")
    same = [unpack(folder, tmp_path / f"copy-{folder.name}", LAYOUT).sha256 for folder in (one, two)]
    assert same[0] == same[1]
    (two / "code" / "tag.py").write_bytes(b"2")
    assert unpack(two, tmp_path / "other", LAYOUT).sha256 != same[0]
