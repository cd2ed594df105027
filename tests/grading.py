"""What tests of the grader share: a toy language, an assignment of it, submissions that are a tag.py of a few lines.

They run without a sandbox (level none), which the sandbox's own tests are about, and import no torch: a run is as long
as Python takes to start.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from grader.assignment import Assignment, load_assignment
from grader.sandbox import Sandbox, open_sandbox

TRAINING = ["the/D dog/N runs/V", "the/D cat/N sees/V the/D dog/N", "a/D dog/N sees/V a/D cat/N", "runs/N run/V"]
TEST = ["the/D cat/N runs/V", "a/D bird/N sees/V the/D runs/N", "cats/N run/V", "the/D 1&slash;2/N runs/V"]

ASSIGNMENT = """
format = 1
name = "toy"
title = "Toy"
folder = "."
train = "toysup"

[layout]
required = ["tag.py"]
keep = ["*.py"]
beside = ["partners.txt", "models/*"]
archive_mb = 1
expanded_mb = 2
files = 50
depth = 5

[profiles.full]
seeds = [0, 1]
gap = 0.3
[profiles.full.values]
max_steps = 10
[profiles.full.rubrics]
tagging = [[0.0, 0.0], [1.0, 1.0]]
[profiles.quick]
seeds = [0]
wall = 20
[profiles.quick.values]
max_steps = 1
[profiles.quick.rubrics]
tagging = [[0.5, 0.0], [0.6, 1.0]]

[[stages]]
name = "training"
kind = "training"
title = "Training"
points = 20
command = ["{python}", "tag.py", "toydev", "--train", "toysup", "--seed", "{seed}", "--save", "{model}"]
optional = [["--max_steps", "{max_steps}"], ["--colour", "blue"]]
data = ["toysup", "toydev"]
model = "graded.model"
model_mb = 1
limits = { wall = 30, cpu = 30, memory_mb = 1000, processes = 100, output_kb = 16, disk_mb = 64 }

[[stages]]
name = "tagging"
kind = "tagging"
title = "Tagging"
hidden = true
points = 80
command = ["{python}", "tag.py", "{input}", "--untagged", "--model", "{model}", "--output_file", "{output}"]
gold = "toytest"
input = "words.txt"
output = "graded.output"
twin = 0.2
model = "graded.model"
model_mb = 1
limits = { wall = 30, cpu = 30, memory_mb = 1000, processes = 100, output_kb = 16, disk_mb = 64 }

[[stages]]
name = "leaderboard"
kind = "leaderboard"
title = "Leaderboard"
points = 0
command = ["{python}", "tag.py", "{input}", "--untagged", "--model", "{model}", "--output_file", "{output}"]
gold = "toydev"
input = "words.txt"
output = "graded.output"
model = "graded.model"
model_mb = 1
limits = { wall = 30, cpu = 30, memory_mb = 1000, processes = 100, output_kb = 16, disk_mb = 64 }
"""

# Each word's commonest tag. A test puts its own mischief where {train} and {tag} stand.
TAG_PY = """
import argparse, collections, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("input")
for name in ("train", "save", "model", "output_file"):
    parser.add_argument("--" + name)
parser.add_argument("--seed", type=int)
parser.add_argument("--max_steps", type=int)
parser.add_argument("--untagged", action="store_true")
args = parser.parse_args()
if args.save:
    {train}
    counts = collections.defaultdict(collections.Counter)
    for token in open("../data/" + args.train).read().split():
        word, _, tag = token.rpartition("/")
        counts[word][tag] += 1
    best = {{word: tags.most_common(1)[0][0] for word, tags in counts.items()}}
    best[""] = sum(counts.values(), collections.Counter()).most_common(1)[0][0]
    json.dump(best, open(args.save, "w"))
else:
    best = json.load(open(args.model))
    lines = open(args.input).read().splitlines()
    lines = [" ".join(word + "/" + best.get(word, best[""]) for word in line.split(" ")) for line in lines]
    {tag}
    open(args.output_file, "w").write("".join(line + "\\n" for line in lines))
"""


def tag_py(train: str = "pass", tag: str = "pass") -> str:
    """The program, with these statements before it trains and before it writes its tagging."""
    return TAG_PY.format(train=train, tag=textwrap.indent(textwrap.dedent(tag), "    ").strip())


def submission(folder: Path, **files: str) -> Path:
    """A folder with code/tag.py and other files of code/, given as name=text with _ for a dot."""
    (folder / "code").mkdir(parents=True)
    for name, text in {"tag_py": tag_py(), **files}.items():
        (folder / "code" / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def lay_out(folder: Path) -> Path:
    """The toy assignment's file, beside its data; the secret test set in secret/."""
    (folder / "data").mkdir(parents=True)
    (folder / "secret").mkdir()
    for path, lines in (("data/toysup", TRAINING), ("data/toydev", TEST[::-1]), ("secret/toytest", TEST)):
        (folder / path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    (folder / "toy.toml").write_text(ASSIGNMENT, encoding="utf-8")
    return folder / "toy.toml"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    monkeypatch.setenv("NEURALIZATION_SECRET", str(tmp_path / "course" / "secret"))
    return load_assignment(lay_out(tmp_path / "course"))


@pytest.fixture
def bare() -> Sandbox:
    return open_sandbox("none", trust=True)
