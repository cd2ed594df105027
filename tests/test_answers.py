"""The experiments behind the reference answers: every row is a command that tag.py takes, words are counted alike in
all rows, what is there is not made again, and the tables say what the JSON says. No time is asserted.
"""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from test_experiments import no_run, numbers, run_script, tables  # puts the experiments on the path

# isort: split

import answers
import answers_figures
import answers_rows
import common
import plots
import runs
from runs import Job

import plan as plans
from corpus import read_corpus
from crf_neural import ConditionalRandomFieldNeural
from lexicon import Lexicon
from options import parser
from training import Settings
from word_vectors import read_lexicon

SEEDS = {name: group.seeds for group in answers_rows.GROUPS.values() for name in group.rows}
TRAINED = ("1/16 crf_backprop", "d=0 words-50 + problex", "ensup hmm")  # in the tests; the others' results are made up


DRAW = answers_figures.draw


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second; tests that look at them draw them."""
    monkeypatch.setattr(answers_figures, "draw", lambda *_: None)


def result_of(out: Path, name: str, seed: int = 0, quick: bool = True) -> dict[str, Any]:
    return answers.job_of(out / "results" / "answers", name, seed, quick).result()


@pytest.mark.parametrize("name", answers.ROWS)
def test_every_row_is_a_command(name: str, tmp_path: Path) -> None:
    command = answers.job_of(tmp_path, name, 1, quick=False).command
    args = parser().parse_args(command)
    plan = plans.make_plan(args, *plans.model_argument(args))
    assert plan.settings["seed"] == 1 and not {"--save", "-o", "--metrics", "-e"} & set(command)
    assert command[0] != "ensup" or plan.dev == "endev"
    if "--train" in command and "part" in command[command.index("--train") + 1]:
        assert plan.kind in ("hmm", "crf_backprop") or plan.settings["restarts"] == 0


def test_rows_have_files_of_their_own_and_comparisons_have_rows() -> None:
    paths = [answers.job_of(Path(), name, 0, quick=False).path for name in answers.ROWS]
    assert len(set(paths)) == len(paths) == sum(len(group.rows) for group in answers_rows.GROUPS.values())
    for a, b, words in answers_rows.COMPARED:
        (corpus,) = {answers.ROWS[a][0], answers.ROWS[b][0]}
        assert words in (runs.CATEGORIES if corpus == "endev" else ["all"]) and a != b
    assert len(set(answers_rows.COMPARED)) == len(answers_rows.COMPARED)


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(common, "DATA", tmp_path)
    assert answers_rows.absent("ptbsup") == f"{tmp_path.name}/ptbdev is not there"
    (tmp_path / "endev").touch()
    assert answers_rows.absent("d=0 problex") is None
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    assert answers_rows.absent("d=0 words-50") == f"{tmp_path.name}/words-50.txt is not there"


def test_words_are_known_seen_and_novel_as_to_a_model_with_that_lexicon(tmp_path: Path) -> None:
    dev = read_corpus(common.DATA / "endev")
    vectors = read_lexicon(common.LEXICONS / "words-50.txt")
    lexicon = Lexicon.from_corpus(read_corpus(common.DATA / "ensup"), vectors=[vectors])
    wanted = [[lexicon.category(word) for word in sentence.words] for sentence in dev]
    assert answers.categories(tmp_path, dev) == wanted
    assert {category for sentence in wanted for category in sentence} == {"known", "seen", "novel"}


def test_parts_lie_in_each_other(tmp_path: Path) -> None:
    lines = (common.DATA / "ensup").read_text(encoding="utf-8").splitlines()
    parts = {}
    for part in answers_rows.PARTS:
        answers.make_part(tmp_path / f"part{part}", part)
        parts[part] = (tmp_path / f"part{part}").read_text(encoding="utf-8").splitlines()
        assert parts[part] == lines[::part]
    assert all(set(parts[2 * part]) <= set(parts[part]) for part in (2, 4, 8))


def test_arrival() -> None:
    history = [dict(seconds=second, loss=loss) for second, loss in enumerate((9.0, None, 1.01, 1.5, 1.0, 1.2))]
    assert answers.arrival(history) == 2
    assert answers.arrival([dict(seconds=1.0, loss=None)]) is None and answers.arrival([]) is None


# Runs


@pytest.fixture(scope="module")
def quick_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("answers")
    result = run_script("answers.py", "--out", out, "--only", *TRAINED)
    assert result.returncode == 0, result.stderr
    assert str(out / "results" / "answers.md") in result.stdout
    return out


def test_results_of_a_quick_run(quick_out: Path) -> None:
    for name in TRAINED:
        result = result_of(quick_out, name)
        words, metrics = result["by_words"], result["metrics"]
        totals = {kind: [sum(counts[key]) for key in ("correct", "tokens")] for kind, counts in words.items()}
        assert totals["all"][0] / totals["all"][1] == pytest.approx(metrics["accuracy"]["all"])
        if name == "ensup hmm":
            assert set(words) == {"all"}
        else:
            assert totals["all"] == [sum(column) for column in zip(*(totals[kind] for kind in runs.CATEGORIES[1:]))]
            assert all(tokens > 0 for _, tokens in totals.values())
    # the tenth of its own training words that a sixteenth leaves is not what counts as known
    assert sum(result_of(quick_out, TRAINED[0])["by_words"]["known"]["tokens"]) == sum(
        result_of(quick_out, TRAINED[1])["by_words"]["known"]["tokens"]
    )
    summary = json.loads((quick_out / "results" / "answers.json").read_text(encoding="utf-8"))
    assert set(summary["systems"]) == set(TRAINED) and set(summary["missing"]) == set(answers.ROWS) - set(TRAINED)
    names = ("answers_settings", "answers_curves", "answers_data") if plots.matplotlib else ()
    figures = sorted(path.name for path in (quick_out / "figures").glob("*"))
    assert figures == sorted(f"{name}.{kind}" for name in names for kind in ("svg", "png"))
    assert "A quick run" in (quick_out / "results" / "answers.md").read_text(encoding="utf-8")


def test_what_is_there_is_not_run_again(quick_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "run_tag", no_run)
    before = (quick_out / "results" / "answers.json").read_bytes()
    assert answers.main(["--quick", "--out", str(quick_out), "--only", *TRAINED]) == 0
    assert (quick_out / "results" / "answers.json").read_bytes() == before


def test_seed_0_of_all_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Job] = []
    monkeypatch.setattr(runs, "run_missing", lambda what, wanted, *_: asked.extend(wanted) or [])
    assert answers.main(["--out", str(tmp_path), "--seeds", "2", "--only", "ptbsup", "training"]) == 0
    stems = [job.path.stem for job in asked]
    rows = list(answers_rows.GROUPS["training"].rows)
    assert len(stems) == 1 + 2 * len(rows) and stems[0] == "ptbsup-0"
    assert [stem[-1] for stem in stems] == ["0"] * (1 + len(rows)) + ["1"] * len(rows)


# The tables


@pytest.fixture
def full_out(quick_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of all rows, as a real run leaves them; made up from those of the quick one."""
    monkeypatch.setattr(answers, "absent", lambda name: None)
    for number, name in enumerate(answers.ROWS):
        for seed in range(SEEDS[name]):
            result = copy.deepcopy(result_of(quick_out, TRAINED[1]))
            job = answers.job_of(tmp_path / "results" / "answers", name, seed, quick=False)
            result.update(command=job.command)
            result["metrics"]["accuracy"]["all"] -= 0.01 * seed
            result["by_words"]["seen"]["correct"][0] = seed
            result["by_words"]["all"]["correct"][0] = number % 5
            common.write_json(job.path, result)
    return tmp_path


def test_the_tables_are_what_the_json_says(full_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "run_tag", no_run)
    monkeypatch.setattr(answers_figures, "draw", DRAW)
    assert answers.main(["--out", str(full_out)]) == 0
    summary = json.loads((full_out / "results" / "answers.json").read_text(encoding="utf-8"))
    page = (full_out / "results" / "answers.md").read_text(encoding="utf-8")
    assert page == answers.markdown(summary) and summary["missing"] == {} and "Not run" not in page
    *of_groups, differences, commands = tables(page)
    assert [[row["row"] for row in table] for table in of_groups] == [
        list(group.rows) for group in answers_rows.GROUPS.values()
    ]
    for row in (row for table in of_groups for row in table):
        system = summary["systems"][row["row"]]
        for category in runs.CATEGORIES:
            of = system["alike"][category]
            wanted = [100 * value for value in (of["mean"], of["deviation"]) if value is not None]
            assert numbers(row[f"{category} %"]) == pytest.approx(wanted, abs=0.00501)
        assert numbers(row["lowest %"]) == pytest.approx([100 * system["worst"]], abs=0.00501)
        assert row["seeds"] == str(len(system["seeds"])) == str(SEEDS[row["row"]])
    assert [(row["A"], row["B"], row["words"]) for row in differences] == answers_rows.COMPARED
    for row, difference in zip(differences, summary["differences"]):
        found = numbers(row["accuracy of A minus B, points"]) + numbers(row["95 % interval"])
        assert found == pytest.approx([100 * difference[end] for end in ("value", "low", "high")], abs=0.00501)
    assert [row["row"] for row in commands] == list(answers.ROWS)


def test_figures_take_the_rows_that_vary_in_one_thing() -> None:
    rows = answers_figures.varied("batch_size", list(answers.ROWS))
    assert rows == {4: "batch_size 4", 32: "words-50", 128: "batch_size 128", 512: "batch_size 512"}
    assert list(answers_figures.varied("rnn_dim", ["rnn_dim 8", "ensup hmm"]).values()) == ["rnn_dim 8"]
    args = parser().parse_args(answers.ROWS[answers_rows.BASE])
    settings = Settings(**plans.make_plan(args, *plans.model_argument(args)).settings)
    size = inspect.signature(ConditionalRandomFieldNeural).parameters["rnn_dim"].default
    assert answers_figures.DEFAULTS == dict(rnn_dim=size, lr=settings.lr, batch_size=settings.batch_size)


def test_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run_tag(*_: Any) -> None:
        raise common.RunError("tag.py broke")

    monkeypatch.setattr(common, "run_tag", run_tag)
    assert answers.main(["--quick", "--out", str(tmp_path), "--only", "ensup hmm"]) == 1
    assert "answers.py: error: tag.py broke" in capsys.readouterr().err
    page = (tmp_path / "results" / "answers.md").read_text(encoding="utf-8")
    assert "Not run: ensup hmm, " in page
