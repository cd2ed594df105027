"""An assignment file: what is run, what it may see, what it may use, and what it is worth.

TOML; assignments/neuralization.toml is one with comments. Every field is checked when the file is read, and what is
wrong is said with the file and the field, so that nothing is found out while a class is graded.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.errors import UsageError
from grader.results import ROOT, digest
from grader.sandbox import Limits
from grader.toml_table import Table, bare_name, flag, names, number, text, texts

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ASSIGNMENTS = Path(__file__).resolve().parent / "assignments"
DEFAULT = ASSIGNMENTS / "neuralization.toml"
FORMAT = 1
KINDS = ("unit", "training", "tagging", "leaderboard")
# What a command template may say in braces, beside the values of the profile.
PLACEHOLDERS = {
    "unit": (),
    "training": ("python", "seed", "model", "output"),
    "tagging": ("python", "seed", "model", "input", "output"),
}
PLACEHOLDERS["leaderboard"] = PLACEHOLDERS["tagging"]


@dataclass(frozen=True)
class Layout:
    """What a submission may hold.

    Attributes:
        required: files of code/ that the stages run; the first says which folder is code/.
        keep: patterns of the files of code/ that are taken (a * matches slashes too).
        beside: patterns of the files beside code/ that are taken.
        archive_bytes, expanded_bytes, files, depth: what is refused above.
    """

    required: tuple[str, ...]
    keep: tuple[str, ...]
    beside: tuple[str, ...]
    archive_bytes: int
    expanded_bytes: int
    files: int
    depth: int


@dataclass(frozen=True)
class Rubric:
    """Share of the points by accuracy: straight lines between `points`, pairs (accuracy, share), both rising."""

    points: tuple[tuple[float, float], ...]

    def share(self, accuracy: float) -> float:
        low, high = self.points[0], self.points[-1]
        if not accuracy > low[0]:  # nan too
            return low[1]
        for (a, s), (b, t) in zip(self.points, self.points[1:]):
            if accuracy < b:
                return s + (t - s) * (accuracy - a) / (b - a)
        return high[1]


@dataclass(frozen=True)
class Profile:
    """One size of the same assignment.

    Attributes:
        seeds: one training for each; added to the seed that the grading is given.
        values: what else commands may say in braces.
        rubrics: by stage.
        gap: the difference of accuracy between the test set and its twin, beyond which a human should look.
        wall: no run takes longer than this many seconds, whatever its stage allows.
    """

    name: str
    seeds: tuple[int, ...]
    values: Mapping[str, str]
    rubrics: Mapping[str, Rubric]
    gap: float
    wall: float


@dataclass(frozen=True)
class Test:
    """One test of a unit stage; `needs` names tests without which it cannot pass."""

    name: str
    points: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name, kind, title: its name in the result, what it does, and how it is called on a report.
        hidden: show fixed messages only, and no log.
        limits: of each run.
        points: the most it gives; for a unit stage those of its tests.
        command: the program and its arguments, with {placeholders}.
        optional: groups of arguments at the command's end that a submission need not know.
        data: corpora that the run finds in ../data.
        lexicons: files that it finds in ../lexicons.
        model: what the training leaves and the tagging gets; its name in code/.
        model_bytes: the largest that is taken.
        gold: the corpus to tag and score, whose tags the run never sees.
        input, output: names in code/ of the words and of the tagging.
        dummy_tag: a tag that each word carries in the input, for programs that do not read bare words; empty: none.
        twin: share of the words that the twin set replaces; 0: there is no twin set.
        tests: of a unit stage.
    """

    name: str
    kind: str
    title: str
    hidden: bool
    limits: Limits
    points: float
    command: tuple[str, ...] = ()
    optional: tuple[tuple[str, ...], ...] = ()
    data: tuple[str, ...] = ()
    lexicons: tuple[str, ...] = ()
    model: str = ""
    model_bytes: int = 0
    gold: str = ""
    input: str = ""
    output: str = ""
    dummy_tag: str = ""
    twin: float = 0.0
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """A whole assignment file.

    Attributes:
        name, title: of the assignment.
        folder: where data/ and lexicons/ are.
        train, known_from: the training corpus, and the lexicons whose words count as seen, for the accuracy of known,
            seen and novel words.
        layout, stages, profiles: see there.
        baselines: scores to compare with, by name; for reports only.
        sha256: of the file.
    """

    name: str
    title: str
    folder: Path
    train: str
    known_from: tuple[str, ...]
    layout: Layout
    stages: tuple[Stage, ...]
    profiles: Mapping[str, Profile]
    baselines: Mapping[str, float] = field(default_factory=dict)
    sha256: str = ""

    def stage(self, kind: str) -> Stage | None:
        """The first stage of a kind."""
        return next((stage for stage in self.stages if stage.kind == kind), None)

    def data_file(self, name: str) -> Path:
        return self.folder / "data" / name

    def lexicon_file(self, name: str) -> Path:
        return self.folder / "lexicons" / name


def load_assignment(path: str | Path = DEFAULT, folder: Path = ROOT) -> Assignment:
    """Read and check an assignment file.

    Args:
        path: the file, or the bare name of one that is shipped.
        folder: where data/ and lexicons/ are, where the file does not say so itself (`folder`, as seen from the file).

    Raises:
        UsageError: it is missing or a field is wrong; file and field are named.
    """
    path = Path(path)
    if path.name == str(path) and not path.exists():
        path = ASSIGNMENTS / f"{path.name.removesuffix('.toml')}.toml"
    try:
        data = path.read_bytes()
        table = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    top = Table(table, f"{path}")
    folder = path.parent / top.get("folder", text, folder)
    return _assignment(top, folder, digest([data]))


def _assignment(table: Table, folder: Path, sha256: str) -> Assignment:
    if table.get("format", number(1, whole=True)) != FORMAT:
        raise table.error("format", f"this grader reads {FORMAT}")
    stages = tuple(_stage(item) for item in table.tables("stages"))
    for position, stage in enumerate(stages):
        where = f"stages {position + 1}"
        if stage.name in [other.name for other in stages[:position]]:
            raise table.error(where, f"there are two stages {stage.name!r}")
        if stage.kind in ("tagging", "leaderboard") and not any(s.kind == "training" for s in stages[:position]):
            raise table.error(where, "a stage that tags needs a training stage before it")
    profiles_table = table.table("profiles")
    profiles = {}
    for name in profiles_table.values:
        profiles[name] = _profile(profiles_table.table(name), name, stages)
    if not profiles:
        raise table.error("profiles", "there must be at least one [profiles.NAME]")
    baselines = table.table("baselines") if "baselines" in table.values else Table({}, table.where)
    found = Assignment(
        name=table.get("name", bare_name),
        title=table.get("title", text),
        folder=folder,
        train=table.get("train", bare_name),
        known_from=table.get("known_from", names, ()),
        layout=_layout(table.table("layout")),
        stages=stages,
        profiles=profiles,
        baselines={name: baselines.get(name, number(0, 1)) for name in baselines.values},
        sha256=sha256,
    )
    table.done()
    for stage in stages:
        _check_files(table, found, stage)
        for profile in profiles.values():
            _check_command(table, stage, profile)
    return found


def _layout(table: Table) -> Layout:
    found = Layout(
        required=table.get("required", names),
        keep=table.get("keep", texts),
        beside=table.get("beside", texts, ()),
        archive_bytes=table.get("archive_mb", number(1, 1000, whole=True)) << 20,
        expanded_bytes=table.get("expanded_mb", number(1, 1000, whole=True)) << 20,
        files=table.get("files", number(1, 100_000, whole=True)),
        depth=table.get("depth", number(1, 50, whole=True)),
    )
    if not found.required:
        raise table.error("required", "must name at least one file")
    table.done()
    return found


def _limits(table: Table) -> Limits:
    found = Limits(
        wall=float(table.get("wall", number(0.1, 1e6))),
        cpu=float(table.get("cpu", number(0.1, 1e6))),
        memory=table.get("memory_mb", number(16, 1 << 20, whole=True)) << 20,
        processes=table.get("processes", number(1, 10_000, whole=True)),
        output=table.get("output_kb", number(1, 1 << 20, whole=True)) << 10,
        disk=table.get("disk_mb", number(1, 1 << 20, whole=True)) << 20,
    )
    table.done()
    return found


def _stage(table: Table) -> Stage:
    kind = table.get("kind", text)
    if kind not in KINDS:
        raise table.error("kind", f"{kind!r} is none of {', '.join(KINDS)}")
    values: dict[str, Any] = dict(
        name=table.get("name", bare_name),
        kind=kind,
        title=table.get("title", text),
        hidden=table.get("hidden", flag, False),
        limits=_limits(table.table("limits")),
    )
    if kind == "unit":
        values["tests"] = tuple(_test(item) for item in table.tables("tests"))
        known = [test.name for test in values["tests"]]
        for test in values["tests"]:
            if known.count(test.name) > 1:
                raise table.error("tests", f"there are two tests {test.name!r}")
            for other in test.needs:
                if other not in known or other == test.name:
                    raise table.error("tests", f"{test.name} needs {other!r}, which is no other test")
        values["points"] = float(sum(test.points for test in values["tests"]))
    else:
        values.update(
            points=float(table.get("points", number(0, 1e6))),
            command=table.get("command", texts),
            optional=tuple(tuple(group) for group in table.get("optional", _groups, ())),
            data=table.get("data", names, ()),
            lexicons=table.get("lexicons", names, ()),
            model=table.get("model", bare_name),
            model_bytes=table.get("model_mb", number(1, 4096, whole=True)) << 20,
        )
    if kind in ("tagging", "leaderboard"):
        values.update(
            gold=table.get("gold", bare_name),
            input=table.get("input", bare_name),
            output=table.get("output", bare_name),
            dummy_tag=table.get("dummy_tag", bare_name, ""),
            twin=float(table.get("twin", number(0, 1), 0.0)),
        )
    elif kind == "training":
        values["output"] = table.get("output", bare_name, "training.output")
    table.done()
    return Stage(**values)


def _groups(value: Any) -> str | None:
    good = isinstance(value, list) and all(texts(group) is None and group for group in value)
    return None if good else "must be a list of lists of texts"


def _test(table: Table) -> Test:
    found = Test(
        table.get("name", bare_name), float(table.get("points", number(0, 1e6))), table.get("needs", names, ())
    )
    table.done()
    return found


def _profile(table: Table, name: str, stages: Sequence[Stage]) -> Profile:
    values = table.table("values") if "values" in table.values else Table({}, table.where)
    rubrics_table = table.table("rubrics") if "rubrics" in table.values else Table({}, table.where)
    rubrics = {}
    scored = {stage.name for stage in stages if stage.kind in ("tagging", "leaderboard") and stage.points}
    for stage in rubrics_table.values:
        if stage not in scored:
            raise rubrics_table.error(stage, "is no stage that is scored by accuracy and has points")
        rubrics[stage] = Rubric(tuple((float(a), float(s)) for a, s in rubrics_table.get(stage, _rubric)))
    for stage in scored - set(rubrics):
        raise table.error("rubrics", f"there is none for the stage {stage}")
    found = Profile(
        name=name,
        seeds=table.get("seeds", _seeds),
        values={key: str(values.get(key, number(0))) for key in values.values},
        rubrics=rubrics,
        gap=float(table.get("gap", number(0, 1), 1.0)),
        wall=float(table.get("wall", number(0.1, 1e6), 1e6)),
    )
    table.done()
    return found


def _seeds(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(number(0, 2**30, whole=True)(item) is None for item in value)
    return None if good and len(set(value)) == len(value) else "must be a list of different whole numbers"


def _rubric(value: Any) -> str | None:
    problem = "must be pairs [accuracy, share], two or more, from 0 to 1, accuracy rising, share rising or level"
    if not isinstance(value, list) or len(value) < 2:
        return problem
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or any(number(0, 1)(item) for item in pair):
            return problem
    rising = all(a < b and s <= t for (a, s), (b, t) in zip(value, value[1:]))
    return None if rising else problem


def _check_files(table: Table, assignment: Assignment, stage: Stage) -> None:
    """What a run may see must be there, and must not be what it is scored against."""
    for name in stage.data:
        if name == stage.gold:
            raise table.error(stage.name, f"data has {name}, whose tags this stage is scored against")
        if not assignment.data_file(name).is_file():
            raise table.error(stage.name, f"there is no {assignment.data_file(name)}")
    for name in (*stage.lexicons, *assignment.known_from):
        if not assignment.lexicon_file(name).is_file():
            raise table.error(stage.name, f"there is no {assignment.lexicon_file(name)}")


def _check_command(table: Table, stage: Stage, profile: Profile) -> None:
    allowed = {*PLACEHOLDERS[stage.kind], *profile.values}
    for argument in (*stage.command, *(part for group in stage.optional for part in group)):
        try:
            used = {name for _, name, _, _ in string.Formatter().parse(argument) if name is not None}
        except ValueError as error:
            raise table.error(f"{stage.name}: command", f"{argument!r}: {error}") from None
        if used - allowed:
            raise table.error(
                f"{stage.name}: command",
                f"{{{sorted(used - allowed)[0]}}} is not known in profile {profile.name}; there are "
                + ", ".join(sorted(allowed)),
            )
    if stage.kind != "unit" and not stage.command:
        raise table.error(f"{stage.name}: command", "is empty")
