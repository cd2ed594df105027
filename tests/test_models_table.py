"""The table of models: every row is a command that tag.py takes, what is there is not made again, the tables say what
the JSON says and what is missing, and the peer is measured by the same rules. No time is asserted.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from test_experiments import EXPERIMENTS, ROOT, no_run, numbers, run_script, tables  # puts EXPERIMENTS on the path

# isort: split

import common
import models
import models_peer
import models_rows
import runs
from runs import Job

import learn
import plan as plans
from corpus import Sentence, read_corpus
from options import parser
from recipe import parameter_groups, read_recipe
from tagger import tagger_class

TRAINED = ("hmm", "words-50 finetune late")  # in the tests; what the others would find is made up
ABSENT = "the extra `reference` is not installed: pip install python-crfsuite==0.9.12"


# The rows


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the beginnings of all corpora and lexicons, and the recipes."""
    folder = tmp_path_factory.mktemp("small")
    common.small_data(folder)
    (folder / runs.RECIPES.name).symlink_to(runs.RECIPES)
    return folder


@pytest.mark.parametrize("name", [name for name, command in models.ROWS.items() if command[0] == "endev"])
def test_every_row_is_a_model_that_can_be_trained(name: str, small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(small)
    command = models.job_of(Path(), name, 2, quick=False).command
    args = parser().parse_args(command)
    plan = plans.make_plan(args, *plans.model_argument(args))
    assert plan.settings["seed"] == 2 and not {"--dev", "--save"} & set(command)
    training = [sentence for corpus in plan.train for sentence in read_corpus(plans.find(corpus, "data"))[:20]]
    tagset, lexicon = learn.features(plan, training)
    tagger = tagger_class(plan.kind)(tagset, lexicon, **plan.sizes)
    groups = parameter_groups(tagger, plan.settings.get("recipe", ()), 0.1)
    assert sum(p.numel() for group in groups for p in group["params"]) == tagger.parameter_count()


def test_rows_of_the_corpora_beside_the_peer_differ_in_the_corpus_only():
    for dev, train in models_rows.PEERS.items():
        peer, *others = models_rows.compared(dev)
        assert models.job_of(Path(), peer, 0, quick=False).command[:3] == ["crfsuite", train, dev]
        assert [models.ROWS[name][1:] for name in others] == [
            models.ROWS[name][1:] for name in models_rows.compared("endev")[1:]
        ]
        assert {models.ROWS[name][0] for name in others} == {dev}


def test_every_kind_of_model_has_a_row():
    kinds = {command[2] for command in models.ROWS.values() if len(command) > 2}
    assert kinds == {"hmm", "hmm_neural", "crf", "crf_backprop", "crf_neural", "awesome"}  # crf_extended by its options


def test_each_run_has_a_file_of_its_own():
    paths = [models.job_of(Path(), name, seed, quick=False).path for name in models.ROWS for seed in range(3)]
    assert len(set(paths)) == len(paths) == 3 * len(models.ROWS)
    assert all(path.name == path.name.strip("-") for path in paths)


def test_the_groups_are_what_they_are_said_to_be():
    for title, group in models_rows.GROUPS.items():
        assert all((models_rows.HALF in text) == ("half as long" in title) for text in group.values())
        assert all((models_rows.SHORT in text) == ("60,000" in title) for text in group.values())
    texts = [text for group in models_rows.GROUPS.values() for text in group.values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("path", sorted(runs.RECIPES.iterdir()), ids=lambda path: path.name)
def test_recipes_are_recipes(path: Path):
    assert read_recipe(path)
    assert any(f"{runs.RECIPES.name}/{path.name}" in command for command in models.ROWS.values())


# A run as users call it


@pytest.fixture(scope="module")
def quick_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    result = run_script("models.py", "--out", out, "--jobs", "2", "--only", *TRAINED)
    assert result.returncode == 0, result.stderr
    assert str(out / "results" / "models.md") in result.stdout
    return out


def result_of(out: Path, name: str, seed: int = 0, quick: bool = True) -> dict[str, Any]:
    job = models.job_of(out / "results" / "models", name, seed, quick)
    return json.loads(job.path.read_text(encoding="utf-8"))


def test_a_result_holds_what_was_run(quick_out: Path):
    for name in TRAINED:
        result = result_of(quick_out, name)
        assert result["command"] == models.job_of(quick_out, name, 0, quick=True).command
        assert (result["jobs"], result["machine"]["torch_threads"]) == (2, 1)
        metrics, correct, tokens = result["metrics"], result["correct_by_sentence"], result["tokens_by_sentence"]
        assert len(correct) == len(tokens) == metrics["sentences"] == common.QUICK_SENTENCES["endev"]
        assert sum(correct) / sum(tokens) == pytest.approx(metrics["accuracy"]["all"])
        assert str(ROOT) not in json.dumps(result) and str(quick_out) not in json.dumps(result)
    summary = json.loads((quick_out / "results" / "models.json").read_text(encoding="utf-8"))
    assert set(summary["missing"]) == set(models.ROWS) - set(TRAINED)
    assert summary["speeds"] == [[2, 1]]
    page = (quick_out / "results" / "models.md").read_text(encoding="utf-8")
    assert "2 runs at a time on 1 thread each" in page and "A quick run" in page


def test_what_is_there_is_not_run_again(quick_out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "run_tag", no_run)
    before = (quick_out / "results" / "models.json").read_bytes()
    assert models.main(["--quick", "--out", str(quick_out), "--only", *TRAINED]) == 0
    assert (quick_out / "results" / "models.json").read_bytes() == before


def test_another_command_is_run_and_a_failure_told(
    full_out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    job = models.job_of(full_out / "results" / "models", "crf", 1, quick=False)
    common.write_json(job.path, {**result_of(full_out, "crf", 1, quick=False), "command": ["endev", "--model", "crf"]})
    asked = []

    def run_tag(arguments: list[str], work: Path, stem: str) -> None:
        asked.append((arguments, stem))
        assert (work / "recipes" / "vectors_late.toml").exists()
        raise common.RunError("tag.py broke")

    monkeypatch.setattr(common, "run_tag", run_tag)
    assert models.main(["--out", str(full_out), "--jobs", "64"]) == 1
    assert asked == [([*job.command, "--threads", "1"], "crf-1")]
    assert "models.py: error: tag.py broke" in capsys.readouterr().err
    summary = json.loads((full_out / "results" / "models.json").read_text(encoding="utf-8"))
    assert summary["systems"]["crf"]["seeds"] == [0, 2]


def test_seed_0_of_all_comes_first_and_not_all_have_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(models, "absent", lambda name: None)
    monkeypatch.setattr(runs, "run_missing", lambda what, wanted, *_: asked.extend(wanted) or [])
    names = ["hmm", "ptbdev awesome", "crf", "endev crfsuite"]
    assert models.main(["--out", str(tmp_path), "--seeds", "2", "--only", *names]) == 0
    stems = ["hmm-0", "ptbdev-awesome-0", "crf-0", "endev-crfsuite-0", "hmm-1", "crf-1"]
    assert [job.path.stem for job in asked] == stems


# The tables


@pytest.fixture
def full_out(quick_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of all rows with three seeds, as a real run leaves them; made up from those of the quick one."""
    monkeypatch.setattr(models, "absent", lambda name: None)
    for number, name in enumerate(models.ROWS):
        for seed in models.seeds_of(name, range(3)):
            result = copy.deepcopy(result_of(quick_out, name if name in TRAINED else TRAINED[1]))
            job = models.job_of(tmp_path / "results" / "models", name, seed, quick=False)
            result.update(command=job.command)
            result["metrics"]["accuracy"]["all"] += 0.01 * seed + 0.001 * number
            result["correct_by_sentence"][0] = number
            common.write_json(job.path, result)
    return tmp_path


def test_the_tables_are_what_the_json_says(full_out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "run_tag", no_run)
    monkeypatch.setattr(models_peer, "make_result", no_run)
    assert models.main(["--out", str(full_out)]) == 0
    summary = json.loads((full_out / "results" / "models.json").read_text(encoding="utf-8"))
    page = (full_out / "results" / "models.md").read_text(encoding="utf-8")
    assert page == models.markdown(summary)
    assert summary["missing"] == {} and "Not run" not in page and "not run" not in page
    of_models, of_peers, differences, commands = tables(page)
    titles = [f"**{title}**" for title in models_rows.GROUPS]
    assert [row["model"] for row in of_models if row["model"].startswith("**")] == titles
    in_groups = [name for group in models_rows.GROUPS.values() for name in group]
    lines = [row for row in of_models if row["model"] not in titles]
    assert [row["model"] for row in lines] == in_groups
    compared = [name for dev in models_rows.PEERS for name in models_rows.compared(dev)]
    assert [f"{row['corpus']} {row['tagger']}" for row in of_peers] == [
        f"endev {name}" if name == "awesome" else name for name in compared
    ]
    for name, row in [*zip(in_groups, lines), *zip(compared, of_peers)]:
        assert_row(row, summary["systems"][name], seeds=len(models.seeds_of(name, range(3))))
    assert [row["row"] for row in commands] == list(models.ROWS)
    assert [(row["A"], row["B"]) for row in differences] == [
        (name, names[0]) for names in map(models_rows.compared, models_rows.PEERS) for name in names[1:]
    ]
    for row, difference in zip(differences, summary["differences"]):
        found = numbers(row["accuracy of A minus B, points"]) + numbers(row["95 % interval"])
        assert found == pytest.approx([100 * difference[end] for end in ("value", "low", "high")], abs=0.00501)


def assert_row(row: dict[str, str], system: dict[str, Any], seeds: int) -> None:
    categories = [column.removesuffix(" %") for column in row if column.endswith(" %")]
    columns = {f"{category} %": (system["accuracy"][category], 100, 0.005) for category in categories}
    columns["cross-entropy"] = (system["conditional_cross_entropy"], 1, 0.00005)
    columns["training, s"] = (system["train_seconds"], 1, 0.05)
    columns["training, tokens/s"] = (system["train_tokens_per_second"], 1, 0.5)
    columns["tagging, tokens/s"] = (system["tag_tokens_per_second"], 1, 0.5)
    for column, (value, scale, rounding) in columns.items():
        wanted = [scale * part for part in (value["mean"], value["deviation"]) if part is not None]
        assert numbers(row[column]) == pytest.approx(wanted, abs=rounding * 1.01), column
    assert numbers(row["parameters"]) == [system["parameters"]]
    assert row["seeds"] == str(seeds)
    assert system["accuracy"]["all"]["deviation"] == (pytest.approx(0.01) if seeds == 3 else None)


def test_the_page_says_what_is_missing_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(models_peer, "installed", lambda: False)
    monkeypatch.setattr(common, "DATA", tmp_path)
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    (tmp_path / "endev").touch()
    monkeypatch.setattr(common, "run_tag", no_run)
    assert models.main(["--out", str(tmp_path), "--only", "words-10", "endev crfsuite", "ewtdev awesome"]) == 0
    printed = capsys.readouterr().out
    assert "words-10 left out: lexicons/words-10.txt is not there" in printed
    assert f"endev crfsuite left out: {models_peer.ABSENT}" in printed
    assert "ewtdev awesome left out: data/ewtdev is not there (python data/fetch.py ewt)" in printed
    page = (tmp_path / "results" / "models.md").read_text(encoding="utf-8")
    assert "Not run: hmm, " in page and "words-10 (lexicons/words-10.txt is not there), " in page
    _, of_peers, differences, _ = tables(page)
    assert [row["tagger"] for row in of_peers[:3]] == [
        f"crfsuite: {models_peer.ABSENT}", "crf_neural: lexicons/words-50.txt is not there", "awesome: not run",
    ]  # fmt: skip
    assert differences == []


def test_unknown_words_are_the_seen_and_the_novel():
    metrics = dict(counts=dict(seen=30, novel=10), accuracy=dict(seen=0.9, novel=0.5))
    assert models.unknown(metrics) == pytest.approx(32 / 40)
    assert models.unknown(dict(counts=dict(seen=0, novel=4), accuracy=dict(seen=None, novel=0.5))) == 0.5
    assert models.unknown(dict(counts=dict(seen=0, novel=0), accuracy=dict(seen=None, novel=None))) is None


def test_the_page_says_how_times_were_taken():
    assert models.how_measured([[1, 2], [2, 1]]).startswith(
        "Seconds and tokens a second: 1 run at a time on 2 threads each, others 2 runs at a time on 1 thread each."
    )
    assert models.how_measured([]).startswith("Nothing measured yet.")


# The peer


def test_the_template_of_the_peer():
    first, second, third = models_peer.template(["A", "Re-sold", "item"])
    assert second == [
        "bias", "word=Re-sold", "lower=re-sold", "shape=Xx-xxxx", "prefix1=r", "prefix2=re", "prefix3=re-",
        "suffix1=d", "suffix2=ld", "suffix3=old", "lower-2=BOS1", "lower-1=a", "lower+1=item", "lower+2=EOS1",
    ]  # fmt: skip
    assert first[-4:] == ["lower-2=BOS2", "lower-1=BOS1", "lower+1=re-sold", "lower+2=item"]
    assert third[-4:] == ["lower-2=a", "lower-1=re-sold", "lower+1=EOS1", "lower+2=EOS2"]


class AnyTagger:
    """Stands for pycrfsuite.Tagger: random probabilities of all taggings of each sentence, by its number."""

    def __init__(self, lengths: list[int]):
        generator = torch.Generator().manual_seed(0)
        self.p = []
        for length in lengths:
            taggings = list(itertools.product(self.labels(), repeat=length))
            weights = torch.rand(len(taggings), generator=generator, dtype=torch.float64)
            self.p.append(dict(zip(taggings, (weights / weights.sum()).tolist())))

    def labels(self) -> list[str]:
        return ["N", "V", "P"]

    def set(self, item: int) -> None:
        self.current = self.p[item]

    def probability(self, tags: tuple[str, ...]) -> float:
        return self.current[tuple(tags)]


def test_the_cross_entropy_of_the_peer_sums_over_tags_that_it_does_not_know():
    dev = [Sentence(("a", "b"), ("N", "V")), Sentence(("c", "d", "e"), ("P", "X", "V"))]
    tagger = AnyTagger([2, 3])
    second = sum(p for tags, p in tagger.p[1].items() if (tags[0], tags[2]) == ("P", "V"))
    wanted = -(math.log(tagger.p[0]["N", "V"]) + math.log(second)) / (5 + 2)
    assert models_peer.conditional_cross_entropy(tagger, [0, 1], dev) == pytest.approx(wanted)


def test_the_peer_is_measured_as_our_models_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "xsup").write_text("The/D cat/N sat/V\n")
    (tmp_path / "xdev").write_text("the/D dog/N sat/V\ncat/N ran/V\n")
    tagging = [["D", "N", "N"], ["N", "N"]]
    monkeypatch.setattr(models_peer, "train_and_tag", lambda *_: (dict(parameters=7), tagging))
    found = models_peer.measure(tmp_path / "xsup", tmp_path / "xdev", 1, tmp_path)
    assert (found["correct_by_sentence"], found["tokens_by_sentence"]) == ([2, 1], [3, 2])
    metrics = found["metrics"]
    assert metrics["accuracy"] == dict(all=0.6, known=0.5, seen=None, novel=pytest.approx(2 / 3))
    assert metrics["counts"] == dict(all=5, known=2, seen=0, novel=3)  # a word in lower case is no longer "The"
    assert (metrics["parameters"], metrics["input"], metrics["tokens"]) == (7, "xdev", 5)


def test_a_peer_that_fails_is_told(tmp_path: Path):
    job = Job(tmp_path / "x.json", ["crfsuite", "ensup", "nodev", "--iterations", "2"])
    with pytest.raises(common.RunError, match=r"^crfsuite ensup nodev --iterations 2: exit status 1: .*nodev"):
        models_peer.make_result(job, jobs=1, threads=1, work=tmp_path)


def test_the_peer_learns(small: Path, tmp_path: Path):
    pytest.importorskip("pycrfsuite", reason=ABSENT)
    job = Job(tmp_path / "x.json", models_peer.command_of("ensup", "endev", quick=False))
    models_peer.make_result(job, jobs=1, threads=1, work=small)
    result = job.result()
    metrics = result["metrics"]
    assert metrics["accuracy"]["all"] == sum(result["correct_by_sentence"]) / sum(result["tokens_by_sentence"]) > 0.85
    assert 0 < metrics["conditional_cross_entropy"] < 0.5
    assert metrics["parameters"] > 10_000 and metrics["counts"]["known"] > 100
    assert set(runs.MEASURES) <= set(metrics) and str(EXPERIMENTS) not in json.dumps(result)
