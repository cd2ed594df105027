"""A solution slips into the hand-out: in code, a notebook, a docstring, a cache, a history. Held: the build fails."""

import json
import tempfile
from pathlib import Path

from grader import leaks, strip

VERDICT = ("ok",)
ONCE = True


def attack(case):
    source = (Path(__file__).resolve().parents[2] / "code" / "logsumexp_safe.py").read_text(encoding="utf-8")
    bodies = strip.strip_source(source, "logsumexp_safe.py").bodies
    body = max((part for parts in bodies.values() for part in parts), key=len)
    places = {
        "code/x.py": body,
        "notes.md": f"the answer is\n\n```\n{body}\n```\n",
        "x.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": body.splitlines(True), "outputs": []}]}),
        "tests/x.py": f'"""{body}"""\n',
        "code/__pycache__/x.cpython-311.pyc": "x",
        ".git/config": "x",
    }
    for name, text in places.items():
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            case.held(bool(leaks.scan(Path(folder), bodies)), f"not found in {name}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "clean.md").write_text("nothing of it")
        case.held(not leaks.scan(Path(folder), bodies), "a clean package is refused")
    return "ok", f"found in {', '.join(places)}"
