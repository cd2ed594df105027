"""INSTRUCTIONS.md: every command line and every program in it runs as it stands there, and what it promises is there.

The commands run in their order in one folder that looks like the package, but whose corpora and lexicons are the
beginnings of the real ones, so that all of it takes seconds. A command that trains gets SMALL appended, and is else as
printed. A new command in the document is a new line that is run here; NOT_RUN lists the only exceptions.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import tag
from crf_extended import POTENTIALS
from defaults import TUNED
from options import parser
from plan import model_argument
from training import Settings

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "INSTRUCTIONS.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FROM_ROOT = "# in the package's folder"

SMALL = ["--max_steps", "96", "--eval_interval", "48", "--restarts", "0"]
SENTENCES, ROWS = 96, 400  # of each corpus and each lexicon

# How lines begin that are not run here, and why.
NOT_RUN = {
    "make ": "makes an environment, from the network",
    "python -m venv ": "makes an environment",
    "conda ": "makes an environment, from the network",
    "python -m pip ": "installs from the network",
    "source ": "changes the shell that it is said in",
    "cd ": "changes the shell that it is said in; where a block runs is told otherwise, see FROM_ROOT",
    "python -m pytest ": "runs tests that run anyway",
    "python data/fetch.py ": "downloads; test_fetch.py tests it, and its corpora have stand-ins here",
}

# What sections 4 and 6-7 of the document have to show in use.
EXTENSIONS = (
    "--restarts", "--one_hot", "--problex", "--affixes", "--characters", "--finetune", "--finetune_lr",
    "--finetune_from", "--unigram", "--init hmm", "--tag_rank", "--tag_form", "--states", "--gem_steps", "--generate",
    "--potentials", "--window", "--no_boundary", "--outside", "--rnn lstm", "--rnn gru", "--layers", "--dropout",
    "--recipe", "--awesome", "--decoder", "--kbest", "--samples", "--lambda", "--reg", "--lr", "--optimizer",
    "--batch_size", "--seed", "--train ensup enraw",
)  # fmt: skip


class Line(NamedTuple):
    """A command, the folder it runs in, and what the document says that it prints."""

    command: str
    folder: str
    printed: list[str]


def lines_of(language: str, block: str) -> Iterator[Line]:
    """The commands of a block: of `sh` every line that is no comment; of `console` those after `$ `."""
    folder = "." if block.startswith(FROM_ROOT + "\n") else "code"
    commands: list[Line] = []
    for line in block.splitlines():
        if language == "console" and not line.startswith("$ "):
            commands[-1].printed.append(line)
        elif not line.startswith("#"):
            commands.append(Line(line.removeprefix("$ "), folder, []))
    yield from commands


def beginning(path: Path, lines: int) -> str:
    with path.open(encoding="utf-8") as file:
        return "".join(line for _, line in zip(range(lines), file))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the package, with little data in it. A bare name in code/ means this data."""
    package = tmp_path_factory.mktemp("package")
    for folder in "code", "data", "lexicons":
        (package / folder).mkdir()
    contents: dict[str, str] = {}
    for path in (ROOT / "data").iterdir():
        if path.is_file() and not path.suffix and not path.name.startswith("."):
            contents[f"data/{path.name}"] = beginning(path, SENTENCES)
    for fetched in (ROOT / "data" / "outputs.tsv").read_text().splitlines()[1:]:
        contents[f"data/{fetched.split()[1]}"] = contents["data/ptbdev"]
    for path in (ROOT / "lexicons").glob("*.txt"):
        header, _, rows = beginning(path, ROWS + 1).partition("\n")
        contents[f"lexicons/{path.name}"] = f"{ROWS} {header.split()[1]}\n{rows}"
    for name, text in contents.items():
        (package / name).write_text(text, encoding="utf-8")
        (package / "code" / Path(name).name).symlink_to(package / name)
    return package


def run_line(line: Line, package: Path) -> str:
    """What the command prints. Fails the test if its exit status is not 0."""
    echo = re.fullmatch(r'echo "([^"$`\\]*)" \| (python tag\.py .*)', line.command)
    words = shlex.split(echo[2] if echo else line.command)
    if words[:2] == ["python", "tag.py"]:
        assert line.folder == "code" and not set(";|<>&$`*") & set("".join(words)), "not a command of tag.py alone"
        return run_tag(words[2:], echo[1] + "\n" if echo else "")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", line.command], cwd=package / line.folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def run_tag(arguments: list[str], stdin: str) -> str:
    """What tag.py prints, in this process and in the current folder."""
    args = parser().parse_args(arguments)
    kind, _ = model_argument(args)
    trains = kind or args.train or args.checkpoint
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = tag.main([*arguments, *(SMALL if trains else [])])
    assert status == 0, out.getvalue()
    return out.getvalue()


def form(line: str) -> str:
    """A line of output with its numbers, tags and what depends on them made alike."""
    line = re.sub(r"(?<=\S)/\S+", "/TAG", line.removesuffix(" (best so far)"))
    return re.sub(r"(?<![\w/])(-?\d[\d,.]*%?|inf|-)(?![\w-])", "#", line)


def test_every_line_runs_as_printed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the document, as one command needs the model of another; and what it prints has that form."""
    monkeypatch.chdir(package / "code")
    run, not_run, failures = 0, set(), []
    for block in BLOCK.finditer(TEXT):
        language, content = block.groups()
        if language == "toml":
            name = re.match(r"# (\S+\.toml)\n", content)
            assert name, "a TOML block begins with the name of its file"
            Path(name[1]).write_text(content, encoding="utf-8")
        if language == "python":
            try:
                exec(compile(content, "INSTRUCTIONS.md", "exec"), {"__name__": "__main__"})
                run += 1
            except Exception as error:
                failures.append(f"{content}\n{type(error).__name__}: {error}")
        if language not in ("sh", "console"):
            continue
        for line in lines_of(language, content):
            exception = next((start for start in NOT_RUN if line.command.startswith(start)), None)
            if exception:
                not_run.add(exception)
                continue
            try:
                output = run_line(line, package)
            except (AssertionError, SystemExit) as error:
                failures.append(f"{line.command}\n{error}")
                continue
            run += 1
            forms = {form(printed) for printed in output.splitlines()}
            failures += [
                f"{line.command}\ndoes not print: {printed}\nbut:\n{output}"
                for printed in line.printed
                if printed != "..." and form(printed) not in forms
            ]
    assert not failures, f"{len(failures)} of {run + len(failures)}:\n" + "\n\n".join(failures)
    assert run > 50
    assert not_run == set(NOT_RUN), "an exception that no line of the document needs"


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    fences = re.findall(r"^```(\w*)$", TEXT, re.MULTILINE)
    assert set(fences[::2]) == {"sh", "console", "python", "toml", "math"} and set(fences[1::2]) == {""}
    indented = [line for line in TEXT.splitlines() if line.startswith("    ") and "python " in line]
    assert not indented, "a command outside of a fence"


def test_first_lines_of_corpora_are_those_of_the_files() -> None:
    shown = re.findall(r"^\$ head -(\d+) \.\./(\S+)\n((?:[^$`\n].*\n)+)", TEXT, re.MULTILINE)
    assert shown
    for lines, name, text in shown:
        assert text == beginning(ROOT / name, int(lines))


def test_figures_are_measured() -> None:
    """What it shows of runs that are in writeup/results is what these runs gave with seed 0."""
    shown = {
        tuple(shlex.split(line.command)[2:]): line.printed
        for language, block in BLOCK.findall(TEXT)
        if language == "console"
        for line in lines_of(language, block)
    }
    found = 0
    for path in (ROOT / "writeup" / "results" / "main_line").glob("*-0.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        printed = shown.get(tuple(result["command"][:-2]))  # without --seed 0
        if printed is not None:
            assert set(tag.describe(result["metrics"]).splitlines()[:2]) <= set(printed), path.name
            found += 1
    assert found >= 5


def test_times_ten() -> None:
    """What the exercise asserts of SGD and AdamW."""
    (program,) = (code for language, code in BLOCK.findall(TEXT) if language == "python" and "AdamW" in code)
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(program, "INSTRUCTIONS.md", "exec"), {})
    ratios = dict(line.split() for line in out.getvalue().splitlines())
    assert float(ratios["SGD"]) == pytest.approx(100) and float(ratios["AdamW"]) == pytest.approx(10, rel=1e-6)


def test_names_of_options_are_options() -> None:
    options = {option for action in parser()._actions for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z]\w*", TEXT)) - {"--extra"}  # pip's
    assert named <= options


def test_every_extension_has_a_command() -> None:
    commands = " ".join(
        line.command
        for language, block in BLOCK.findall(TEXT)
        if language in ("sh", "console")
        for line in lines_of(language, block)
    )
    assert [option for option in EXTENSIONS if f" {option} " not in f"{commands} "] == []
    assert [value for value in POTENTIALS[1:] if f"--potentials {value} " not in f"{commands} "] == []


def test_defaults_are_those_of_the_program() -> None:
    settings = Settings(**TUNED["crf_neural"])
    for values in (
        f"| {settings.lr}, {settings.optimizer}, {settings.batch_size} |",
        f"| {settings.max_steps}, {settings.eval_interval}, {settings.patience} |",
        f"| `--reg` | C | {settings.reg:g} |",
        f"(`--lambda`, {Settings.smoothing})",
    ):
        assert values in TEXT


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", TEXT), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert links and set(links) <= anchors
    files = re.findall(r"\]\(([^#)]+)\)", TEXT)
    assert all((ROOT / file).exists() for file in files)


def test_all_questions_are_there() -> None:
    assert sorted(map(int, re.findall(r"\*\*(\d\d)\.\*\*", TEXT))) == list(range(16, 27))
