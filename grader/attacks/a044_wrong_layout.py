"""Nested folders, missing files, notebooks, other line ends, a BOM, another machine's junk. Held: kind, and graded."""

import io
import zipfile

from grader.attacks.case import MAJORITY

VERDICT = ("missing_file",)


def attack(case):
    crlf = "\ufeff" + MAJORITY.replace("\n", "\r\n")
    junk = {"Homework/__MACOSX/._tag.py": "x", "Homework/.DS_Store": "x", "Homework/partners.txt": "none"}
    for files in ({"Homework/code/tag.py": crlf, **junk}, {"tag.py": MAJORITY}, {"My Homework/final/tag.py": MAJORITY}):
        result = case.grade(files)
        case.held(result["score"] == case.honest, f"{next(iter(files))}: {result['verdict']}, score {result['score']}")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("code\\tag.py", MAJORITY)
    result = case.grade({"code/tag.ipynb": "{}", "code/other.py": ""})
    case.held("tag.py" in result["stages"][0]["message"], result["stages"][0]["message"])
    case.held("notebook" in " ".join(result["notes"]), str(result["notes"]))
    return result["verdict"], result["stages"][0]["message"]
