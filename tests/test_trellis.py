"""The page of a trellis: its numbers against enumeration and torch.optim, its words escaped, its command line.

No browser is needed: what the page's script draws is the JSON that stands in the page, and that is looked at.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from test_experiments import ROOT  # puts the experiments on the path

# isort: split

import common
import trellis
import trellis_page

import enumeration as brute
from chain import LinearChain
from command_line import contents
from corpus import IntegerizedCorpus, parse_sentence
from decoders import infnet as networks
from decoders import tailored, warm_start
from decoders.gradient_descent import random_logits
from decoders.infnet import Settings
from hmm import HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon
from local import LocalTagger
from tagger import Tagger
from test_infnet import make_model, make_network, sentences_of
from test_local import TRAINING, make_batch, make_tagger

LINE = "the/D Dog/N saw/V Paris/X today/N"  # X: a gold tag that the model does not have
WORDS = "the Dog saw Paris today"
CNN = Settings("cnn", hidden=3)


def content(line: str, model: Tagger, network: LocalTagger | None = None, *more: str) -> dict[str, Any]:
    """As it stands in the page."""
    args = trellis.parser().parse_args(["x", "--iterations", "4", *more])
    found = trellis.content(parse_sentence(line, "test"), model, network, args)
    return data_of(trellis_page.page({**found, "about": "A test."}))


def data_of(page: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def trained_network(model: Tagger) -> LocalTagger:
    """With what a network's file tells of it."""
    network = make_network(model, CNN)
    network.more = dict(infnet=dict(network="cnn", objective="energy"))
    return network


# What it shows


def test_the_exact_numbers_are_those_of_enumeration() -> None:
    model = make_model()
    shown = content(LINE, model)
    sentence = sentences_of(model, make_batch(model, [LINE]))[0]
    assert shown["words"] == WORDS.split() and shown["tagset"] == list(model.tagset) and shown["rows"] == [0, 1, 2]
    assert shown["gold"] == ["D", "N", "V", "X", "N"] and not shown["forbidden"]
    assert torch.tensor(shown["marginals"]).numpy() == pytest.approx(brute.marginals(sentence), abs=1e-6)
    pairs = brute.pair_marginals(sentence)
    edges = {tuple(place): p for *place, p in shown["edges"]}
    for place in torch.ones(pairs.shape).nonzero().tolist():
        p = float(pairs[tuple(place)])
        assert edges.get(tuple(place), 0.0) == pytest.approx(p if p >= shown["threshold"] else 0.0, abs=1e-4)
    assert tuple(shown["viterbi"]["path"]) in brute.argmax(sentence)
    assert shown["log_partition"] == pytest.approx(brute.log_partition(sentence))
    assert shown["viterbi"]["energy"] == pytest.approx(-brute.kbest(sentence, 1)[0][0])
    assert shown["viterbi"]["probability"] == pytest.approx(brute.probabilities(sentence).max())


def by_optimizer(
    parameters: Iterable[nn.Parameter], logits: Callable[[], Tensor], chain: LinearChain, step: float, momentum: float
) -> tuple[list[float], list[list[int]], list[Tensor]]:
    """Relaxed energies, taggings and relaxed taggings of the start and of 4 steps of torch's own descent."""
    optimizer = torch.optim.SGD(parameters, lr=step, momentum=momentum)
    energies, taggings, relaxed = [], [], []
    for _ in range(5):
        optimizer.zero_grad()
        q = logits().softmax(dim=2)
        energy = chain.energy(q).sum()
        energies.append(energy.item()), taggings.append(q[0].argmax(dim=1).tolist()), relaxed.append(q[0].detach())
        energy.backward()
        optimizer.step()
    return energies, taggings, relaxed


def test_each_iteration_is_that_of_a_descent_by_torch() -> None:
    model = make_model(scale=0.7)
    network = trained_network(model)
    shown = content(LINE, model, network, "--step", "0.3", "--seed", "5")
    batch = make_batch(model, [LINE])
    chain, sentence = model(batch).detach(), sentences_of(model, batch)[0]
    words, own = network.lexicon.embed(batch).detach(), copy.deepcopy(network.network)
    free = nn.Parameter(random_logits(5, 3, 5)[None].clone())
    warm = nn.Parameter(network.logits(batch).detach().clone())
    expected = {
        "Gradient descent": by_optimizer([free], lambda: free, chain, 0.3, 0.9),
        "Inference network": by_optimizer(
            own.parameters(), lambda: own(words, batch.lengths), chain, tailored.DEFAULT.step, tailored.DEFAULT.momentum
        ),
        "Warm start": by_optimizer([warm], lambda: warm, chain, warm_start.DEFAULT.step, 0.9),
    }
    assert [search["name"] for search in shown["searches"]] == list(expected) and shown["network"]
    moved = 0
    for search in shown["searches"]:
        energies, taggings, relaxed = expected[search["name"]]
        assert search["relaxed_energies"] == pytest.approx(energies) and search["paths"] == taggings
        assert search["energies"] == pytest.approx([-brute.score(sentence, tagging) for tagging in taggings])
        q = torch.tensor(search["relaxed"]) / 10_000
        torch.testing.assert_close(q, torch.stack(relaxed).float(), atol=6e-5, rtol=0)
        assert min(search["energies"] + search["relaxed_energies"]) >= shown["viterbi"]["energy"] - 1e-9
        moved += len(set(map(tuple, taggings))) > 1
    assert moved, "a test in which no search changes its tags"


def test_tags_without_a_row_are_added_up_in_the_last() -> None:
    model = make_tagger("crf_blstm", tags=list("ABCDEFGHIJ"))
    batch = make_batch(model, [WORDS])
    whole, part = (content(WORDS, model, None, "--tags", count) for count in ("10", "1"))
    on_paths = {tag for path in (part["viterbi"]["path"], part["searches"][0]["paths"][-1]) for tag in path}
    assert whole["rows"] == list(range(10)) and set(part["rows"]) == on_paths and len(on_paths) < 9
    marginals, hidden = model(batch).marginals[0], [tag for tag in range(10) if tag not in on_paths]
    expected = torch.cat([marginals[:, part["rows"]], marginals[:, hidden].sum(dim=1, keepdim=True)], dim=1)
    torch.testing.assert_close(torch.tensor(part["marginals"], dtype=torch.float64), expected, atol=1e-6, rtol=0)
    for p in torch.tensor(part["searches"][0]["relaxed"]).flatten(0, 1).sum(dim=1).tolist():
        assert p == pytest.approx(10_000, abs=len(expected[0]))
    sums = torch.zeros(4)
    for i, s, t, p in part["edges"]:
        sums[i] += p
        assert max(s, t) <= len(part["rows"])
    assert (sums > 0.5).all() and (sums < 1.001).all()
    assert part["gold"] is None and whole["viterbi"] == part["viterbi"]
    nine = content(WORDS, model, None, "--tags", "9")
    assert nine["rows"] == whole["rows"], "a last row for a single tag would be of no use"


def counted() -> HiddenMarkovModel:
    """An HMM of counts that are not smoothed: most bigrams are impossible."""
    training = [parse_sentence(line, "test") for line in TRAINING]
    tagset = Integerizer(sorted({tag for sentence in training for tag in sentence.tags}))
    lexicon = Lexicon.from_corpus(training)
    hmm = HiddenMarkovModel(tagset, lexicon).eval()
    counts, _ = hmm.e_step(IntegerizedCorpus(training, lexicon.vocab, tagset).batch(torch.arange(len(training))))
    hmm.m_step(counts, smoothing=0.0)
    return hmm


def test_an_impossible_tagging_has_no_energy() -> None:
    model = counted()
    shown = content("a dog sleeps", model)
    sentence = sentences_of(model, make_batch(model, ["a dog sleeps"]))[0]
    search = shown["searches"][0]
    energies = [-brute.score(sentence, path) for path in search["paths"]]
    assert shown["forbidden"] and math.inf in energies
    assert search["energies"] == [None if energy == math.inf else pytest.approx(energy) for energy in energies]
    assert all(math.isfinite(energy) for energy in search["relaxed_energies"])


# The page


def test_words_are_escaped_and_nothing_is_fetched() -> None:
    model = make_model()
    nasty = 'A <script>alert(1)</script> </script><!-- @DATA@ &amp; "q" x\u2028y'
    found = trellis.content(
        parse_sentence(nasty, "test", untagged=True), model, None, trellis.parser().parse_args(["x"])
    )
    page = trellis_page.page({**found, "about": "<b>@SCRIPT@"})
    assert data_of(page)["words"] == nasty.split(" ")
    assert page.count("<script") == page.count("</script") == 2 and "<!--" not in page and "<b>" not in page
    assert "<title>Trellis: A &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)|<link|@import|\bsrc=|url\(", page)
    assert "innerHTML" not in page and "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_what_the_script_looks_up_is_in_the_page() -> None:
    script, template = (Path(trellis_page.HERE / f"trellis_page.{end}").read_text() for end in ("js", "html"))
    ids = re.findall(r'\bid="([^"]+)"', template)
    assert len(ids) == len(set(ids)) and set(re.findall(r'(?<!\.)\bget\("([^"]+)"\)', script)) <= set(ids)
    read = set(re.findall(r"\bD\.([a-z_]+)", script))
    assert read <= set(content(WORDS, make_model())), "a key that the data do not have"


# The command line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "some.model"
    make_model().save(file, train=["ensup"])
    return file


def outcome(arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and standard error."""
    try:
        status = trellis.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        status = leaving.code
    return status, capsys.readouterr().err


def test_as_a_user_runs_it(model: Path, tmp_path: Path) -> None:
    """With -m, from the package's folder; a sentence of a corpus, with a network that lies beside the model."""
    tagger = Tagger.load(model)
    network = make_network(tagger, CNN)
    networks.save(network, f"{model}.cnn_hidden=3.infnet", networks.fingerprint(tagger), CNN)
    (tmp_path / "mydev").write_text(f"a/D cat/N\n\n{LINE}\n")
    command = [sys.executable, "-m", "writeup.experiments.trellis", f"{tmp_path}/mydev:2", "--model", model]
    done = subprocess.run(
        [*command, "--out", tmp_path / "page.html", "--iterations", "3"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"in {tmp_path / 'page.html'}\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = data_of(page)
    assert shown["words"] == WORDS.split() and shown["gold"] == ["D", "N", "V", "X", "N"]
    assert [len(search["paths"]) for search in shown["searches"]] == [4, 4, 4]
    assert "Sentence 2 of mydev. Model: crf_blstm" in page and "trained on ensup" in page
    assert str(tmp_path) not in page, "a path of this machine"


def test_a_network_of_another_model_is_not_taken(model: Path, tmp_path: Path, capsys) -> None:
    tagger = Tagger.load(model)
    joint = Settings("cnn", hidden=3, objective="joint")
    mark = networks.fingerprint(tagger)
    for settings, of in ((CNN, "0" * 64), (joint, mark)):
        networks.save(make_network(tagger, settings), f"{model}.{settings.name}.infnet", of, settings)
    out = tmp_path / "page.html"
    assert outcome([WORDS, "--model", model, "--out", out], capsys) == (0, "")
    shown = data_of(out.read_text(encoding="utf-8"))
    assert not shown["network"] and [search["name"] for search in shown["searches"]] == ["Gradient descent"]
    blstm = Settings("blstm")
    networks.save(make_network(tagger, blstm), f"{model}.blstm.infnet", mark, blstm)
    status, _ = outcome([WORDS, "--model", model, "--out", out, "--network", "blstm"], capsys)
    assert status == 0 and data_of(out.read_text(encoding="utf-8"))["network"]


def test_quick_trains_and_keeps_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    few = {"20000": "300", "8000": "60"}
    monkeypatch.setattr(trellis, "QUICK", [few.get(argument, argument) for argument in trellis.QUICK])
    monkeypatch.setattr(trellis.tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    status, told = outcome(["endev:17", "--quick", "--network", "cnn"], capsys)
    assert status == 0 and told.count("\n") == 1 and set(contents(tmp_path)) == {"trellis.html"}
    shown = data_of((tmp_path / "trellis.html").read_text(encoding="utf-8"))
    assert len(shown["searches"]) == 3 and len(shown["tagset"]) == 24 and len(shown["rows"]) < 24


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([" "], "SENTENCE: no word in it"),
        (["nothere:3"], "nothere: no such file, here or in data/"),
        (["endev:0"], "endev:0: endev has the sentences 1 to 640"),
        (["endev:641"], "endev:641: endev has the sentences 1 to 640"),
        ([WORDS, "--model", "no.model"], "no.model: No such file or directory"),
        ([WORDS, "--model", "text"], "text: not a model file"),
        ([WORDS, "--out", "no/page.html"], "no/page.html"),
        ([WORDS, "--iterations", "0"], "argument --iterations: 0 is out of range"),
        ([WORDS, "--step", "nan"], "argument --step: nan is out of range"),
        ([WORDS, "--network", "mlp"], "argument --network: invalid choice: 'mlp'"),
        ([WORDS, "--quick", "--model", "some.model"], "argument --model: not allowed with argument --quick"),
        ([], "the following arguments are required: SENTENCE"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], told: str, model: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no model")
    before = contents(tmp_path)
    status, error = outcome(arguments if "--model" in arguments else [*arguments, "--model", "some.model"], capsys)
    assert status == 2 and error.startswith(f"trellis: error: {told}") and error.count("\n") == 1
    assert contents(tmp_path) == before


def test_other_things_that_cannot_be(model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trellis, "USUAL", common.CODE / "nothere.model")
    counted().save(tmp_path / "hmm.model")
    (tmp_path / "some.model.cnn.infnet").write_text("no network")
    before = contents(tmp_path)
    for arguments, told in [
        ([WORDS], "code/nothere.model: no such file; `make tag` makes it, or say --model FILE, or --quick"),
        (["sleeps the the", "--model", "hmm.model"], "the model hmm.model finds no tagging of the sentence possible"),
        ([WORDS, "--model", model], f"{tmp_path}/some.model.cnn.infnet: not a model file"),
    ]:
        status, error = outcome(arguments, capsys)
        assert status == 2 and error.startswith(f"trellis: error: {told}") and error.count("\n") == 1
    assert contents(tmp_path) == before
