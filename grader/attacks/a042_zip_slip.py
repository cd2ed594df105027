"""Archives with names that lead outside, links, devices, clashing names, and bombs. Held: refused before unpacking."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERDICT = ("violation",)


def zipped(*names, attributes=0, content=b"print()"):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, attributes << 16
            file.writestr(info, content)
    return data.getvalue()


def tarred(name, kind, target=""):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        file.addfile(info)
    return data.getvalue()


ARCHIVES = {
    "up.zip": zipped("code/tag.py", "../../evil.py"),
    "absolute.zip": zipped("/tmp/evil.py"),
    "drive.zip": zipped("C:\\evil.py"),
    "link.zip": zipped("code/tag.py", attributes=0o120777, content=b"/etc/passwd"),
    "case.zip": zipped("code/tag.py", "code/TAG.py"),
    "bomb.zip": zipped("code/tag.py", content=bytes(50 << 20)),
    "many.zip": zipped(*(f"code/x{i}.py" for i in range(300))),
    "link.tar.gz": tarred("code/tag.py", tarfile.SYMTYPE, "/etc/passwd"),
    "hard.tar.gz": tarred("code/tag.py", tarfile.LNKTYPE, "../../evil.py"),
    "device.tar.gz": tarred("code/tag.py", tarfile.CHRTYPE),
    "fifo.tar.gz": tarred("code/tag.py", tarfile.FIFOTYPE),
    "up.tar.gz": tarred("../evil.py", tarfile.REGTYPE),
}


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-archives-") as folder:
        for name, data in ARCHIVES.items():
            path = Path(folder, name)
            path.write_bytes(data)
            result = case.grade_path(path)
            case.held(result["verdict"] == "violation" and result["score"] == 0, f"{name}: {result['verdict']}")
        case.held(sorted(p.name for p in Path(folder).iterdir()) == sorted(ARCHIVES), "a file was unpacked outside")
    return "violation", f"{len(ARCHIVES)} archives refused"
