"""The closer look: rows are commands, words are counted by frequency, probes and pages are right."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from test_experiments import no_run, numbers, run_script, tables  # puts the experiments on the path

# isort: split

import closer
import closer_rows
import common
import plots
import probes

import plan as plans
from corpus import Sentence
from options import parser

SEEDS = {name: group.seeds for group in closer_rows.GROUPS.values() for name in group.rows}
TRAINED = ("1/16 hmm", "d=0 problex, raw", "hmm, drawn")  # in the tests; the others' results are made up


def result_of(out: Path, name: str) -> dict[str, Any]:
    return closer.job_of(out / "results" / "closer", name, 0, True).result()


@pytest.mark.parametrize("name", closer_rows.ROWS)
def test_every_row_is_a_command(name: str, tmp_path: Path) -> None:
    command = closer.job_of(tmp_path, name, 1, quick=False).command
    args = parser().parse_args(command[command[0] in closer_rows.CHANGED :])
    assert plans.make_plan(args, *plans.model_argument(args)).settings["seed"] == 1
    assert not {"--save", "-o", "--metrics", "-e"} & set(command)
    assert (command[0] in closer_rows.CHANGED) == name.endswith((", raw", ", drawn"))


def test_rows_have_files_of_their_own_and_comparisons_have_rows() -> None:
    paths = {closer.job_of(Path(), name, 0, quick=False).path for name in closer_rows.ROWS}
    assert len(paths) == len(closer_rows.ROWS) == sum(len(group.rows) for group in closer_rows.GROUPS.values())
    corpus = {name: [word for word in row if word.endswith("dev")] for name, row in closer_rows.ROWS.items()}
    assert all(corpus[a] == corpus[b] and a != b for a, b in closer_rows.COMPARED)
    assert len(set(closer_rows.COMPARED)) == len(closer_rows.COMPARED)


def test_bins() -> None:
    edges = (0, 1, 2, 9, 10, 99, 100, 999, 1000, 12345)
    assert [closer_rows.bin_of(count) for count in edges] == [
        "never", "once", "2-9", "2-9", "10-99", "10-99", "100-999", "100-999", "1000 or more", "1000 or more",
    ]  # fmt: skip


# The probes


def test_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a and b point the same way, c and d too; `the` and `The` are one word, and its copy `da` is no neighbour."""
    rows = {"a": (1, 0.1), "b": (1, 0.2), "c": (0.1, 1), "d": (0.2, 1), "the": (-1, -1), "da": (-1, -1), "x": (9, 9)}
    text = f"{len(rows)} 2\n" + "".join(f"{word}\t{one}\t{two}\n" for word, (one, two) in rows.items())
    (tmp_path / "tiny.txt").write_text(text, encoding="utf-8")
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    sentences = [Sentence(tuple("abcd"), tuple("NNVN")), Sentence(("The", "the", "da", "a"), ("D", "D", "D", "V"))]
    found = probes.neighbours([*sentences, Sentence(("a",), ("N",))], "tiny.txt")
    assert found["words"] == 6  # x never occurs
    assert found["of_words"] == pytest.approx(2 / 6)  # a and b
    assert found["of_tokens"] == pytest.approx(4 / 9) and found["of_frequent"] is None


def test_slopes_are_those_of_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """By autograd: the derivative of the emissions by a bias that is added to all sigmoids of one feature."""
    sentences = [Sentence(tuple("abca"), tuple("NVNN")), Sentence(tuple("cb"), tuple("VN"))]
    found = probes.slopes(sentences, sentences, True)
    features = probes.lexicons.Lexicon.from_corpus(sentences, tag_frequencies=True)
    torch.manual_seed(0)
    model = probes.ConditionalRandomFieldNeural(probes.Integerizer(["N", "V"]), features).eval()
    batch = probes.IntegerizedCorpus(sentences, features.vocab, model.tagset).batch(torch.arange(2))
    emit = model(batch).emit[batch.mask]
    (by_U,) = torch.autograd.grad(emit.sum(), model.U_B)
    slopes = by_U[:, 0] / model.theta_B  # column 0 of U^B is the bias; summed over tokens and tags
    assert found["eq_48"] == pytest.approx(slopes.mean().item() / emit.numel() / 0.25, rel=1e-4)
    # the states that have read a word of the sentence or its end, as (46) has them, sentence by sentence
    h = []
    for number, sentence in enumerate(sentences):
        w = features.embed(probes.IntegerizedCorpus(sentences, features.vocab, model.tagset).batch(
            torch.tensor([number])), ends=True)[0]  # fmt: skip
        one, zero, n = torch.ones(1), torch.zeros(model.d), len(sentence)
        before, after = [zero], [zero]
        for j in range(n + 2):
            before.append(torch.sigmoid(model.M @ torch.cat([one, before[-1], w[j]])))
            after.append(torch.sigmoid(model.M_ @ torch.cat([one, w[n + 1 - j], after[-1]])))
        # h_0 ... h_{n-2} beside h'_2 ... h'_n: those of eq. 47 for the bigrams inside the sentence
        h += [torch.cat([before[j + 1], after[n + 1 - (j + 2)]]) for j in range(n - 1)]
    states = torch.stack(h)
    assert found["eq_46"] == pytest.approx((states * (1 - states)).mean().item() / 0.25, rel=1e-4)
    assert found["states"] == pytest.approx(states.std(dim=0).mean().item(), rel=1e-4)


def test_the_coverage_of_a_corpus_that_is_gone_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are shipped, fetched corpora are not: the page must not lose what was measured of them."""
    (tmp_path / "words-50.txt").write_text("1 1\nthe\t1\n", encoding="utf-8")
    for part in ("sup", "dev"):
        (tmp_path / f"en{part}").write_text("the/D cat/N\n", encoding="utf-8")
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    monkeypatch.setattr(common, "DATA", tmp_path)
    earlier = {"tw": {"known": 0.5}, "en": {"known": 0.25}}
    found = probes.coverages(["words-50.txt"], earlier)
    assert list(found) == ["en", "tw"] and found["tw"] == earlier["tw"] and found["en"]["known"] == 1.0


def test_coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `The cat sat on mats`, `The`, `sat` and `on` are known, as `the` is; `sat` has no vector."""
    (tmp_path / "words-50.txt").write_text("2 1\nthe\t1\non\t2\n", encoding="utf-8")
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    training = [Sentence(("the", "on", "sat", "cat"), ("D", "I", "V", None))]
    dev = [Sentence(("The", "cat", "sat", "on", "mats"), ("D", "N", "V", "I", "N"))]
    assert probes.coverage(training, dev) == pytest.approx(
        {"known": 3 / 5, "known_without_vector": 1 / 5, "of_one_tag": 1.0}
    )


def test_words_by_frequency() -> None:
    sentences = [Sentence(("a",) * 12 + ("b", "b", "c", "d"), ("N",) * 16)]
    assert probes.words_by_frequency(sentences) == {
        "once": [2, 2], "2-9": [1, 2], "10-99": [1, 12], "100-999": [0, 0], "1000 or more": [0, 0],
    }  # fmt: skip


# Runs


@pytest.fixture(scope="module")
def quick_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("closer")
    result = run_script("closer.py", "--out", out, "--only", *TRAINED)
    assert result.returncode == 0, result.stderr
    assert str(out / "results" / "closer.md") in result.stdout
    return out


def test_results_of_a_quick_run(quick_out: Path) -> None:
    for name in TRAINED:
        result = result_of(quick_out, name)
        right, tokens = (sum(column) for column in zip(*result["by_frequency"].values()))
        assert right / tokens == pytest.approx(result["metrics"]["accuracy"]["all"])
        assert sum(result["tokens_by_sentence"]) == tokens and sum(result["correct_by_sentence"]) == right
        never = result["by_frequency"]["never"][1]
        assert never == tokens - result["metrics"]["counts"]["known"]
    page = (quick_out / "results" / "closer.md").read_text(encoding="utf-8")
    assert "A quick run" in page and "Not run: " in page


def test_what_is_there_is_not_run_again(quick_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "run_tag", no_run)
    before = (quick_out / "results" / "closer.json").read_bytes()
    assert closer.main(["--quick", "--out", str(quick_out), "--only", *TRAINED]) == 0
    assert (quick_out / "results" / "closer.json").read_bytes() == before


def test_the_page_is_what_the_json_says(quick_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With results of all rows, made up from a real one."""
    for name in closer_rows.ROWS:
        for seed in range(SEEDS[name]):
            result = copy.deepcopy(result_of(quick_out, TRAINED[0]))
            job = closer.job_of(tmp_path / "results" / "closer", name, seed, quick=False)
            result.update(command=job.command)
            result["by_frequency"]["once"][0] = seed
            common.write_json(job.path, result)
    measured = json.loads((quick_out / "results" / "closer.json").read_text(encoding="utf-8"))["probes"]
    monkeypatch.setattr(closer.probes, "run", lambda quick, earlier: measured)
    monkeypatch.setattr(common, "run_tag", no_run)
    monkeypatch.setattr(closer, "run_changed", no_run)
    monkeypatch.setattr(closer, "absent", lambda name: None)
    assert closer.main(["--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "results" / "closer.json").read_text(encoding="utf-8"))
    page = (tmp_path / "results" / "closer.md").read_text(encoding="utf-8")
    assert page == closer.markdown(summary) and "Not run" not in page
    found = tables(page)
    groups = list(closer_rows.GROUPS.values())
    assert [[row["row"] for row in table if row["row"] != "(tokens)"] for table in found[: len(groups)]] == [
        list(group.rows) for group in groups
    ]
    for row in (row for table in found[: len(groups) - 1] for row in table if row["row"] != "(tokens)"):
        of = summary["systems"][row["row"]]["by_frequency"]["once"]
        wanted = [100 * value for value in (of["mean"], of["deviation"]) if value is not None]
        assert numbers(row["once"]) == pytest.approx(wanted, abs=0.0501)
    differences = next(table for table in found if "accuracy of A minus B, points" in table[0])
    assert [(row["A"], row["B"]) for row in differences] == closer_rows.COMPARED
    assert all(numbers(row["accuracy of A minus B, points"]) == [0.0] for row in differences)
    names = [f"closer_words.{kind}" for kind in ("png", "svg")] if plots.matplotlib else []
    assert sorted(path.name for path in (tmp_path / "figures").glob("*")) == names
