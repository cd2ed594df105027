"""Options and models: each size option belongs to the kinds whose constructors have it, what does not go together is
said in one line, and what does trains, is remembered, and can be gone on with.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import command_line
import defaults
import options
from command_line import (
    CORPORA,
    SHORT,
    Call,
    arguments_for,
    assert_one_line_error,
    contents,
    interrupt,
    metrics,
    process,
    same_weights,
    weights,
    words,
)
from corpus import read_corpus
from defaults import AWESOME, EXTENDED, FEATURES, ONE_HOT_ONLY, SIZES
from plan import Plan, make_plan, model_argument
from tagger import KINDS, Tagger, tagger_class

folder, call = command_line.folder, command_line.call  # fixtures

# A value of each size option that is not the default, as it is written and as the constructor gets it.
VALUES: dict[str, tuple[list[str], Any]] = {
    "unigram": (["--unigram"], True),
    "word_dim": (["--word_dim", "5"], 5),
    "gem_steps": (["--gem_steps", "2"], 2),
    "tag_rank": (["--tag_rank", "3"], 3),
    "tag_form": (["--tag_form", "asymmetric"], "asymmetric"),
    "rnn_dim": (["--rnn_dim", "5"], 5),
    "transition_features": (["--transition_features", "5"], 5),
    "emission_features": (["--emission_features", "5"], 5),
    "tag_dim": (["--tag_dim", "5"], 5),
    "potentials": (["--potentials", "window"], "window"),
    "window": (["--window", "2"], 2),
    "boundary": (["--no_boundary"], False),
    "rnn": (["--rnn", "gru"], "gru"),
    "layers": (["--layers", "2"], 2),
    "outside": (["--outside"], True),
    "dropout": (["--dropout", "0.5"], 0.5),
    "hidden": (["--hidden", "5"], 5),
    "plus": (["--plus"], True),
}
# Without which they say nothing.
NEEDED = {("window", "crf_extended"): ["--potentials", "window"], ("tag_form", "crf_backprop"): ["--tag_rank", "2"]}
TINY = ["--max_steps", "32", "--eval_interval", "32", "--batch_size", "16", "--restarts", "0"]


def plan_of(*arguments: str) -> Plan:
    args = options.parser().parse_args(["endev", *arguments])
    return make_plan(args, *model_argument(args))


def help_of(name: str) -> str:
    """What --help says of an option: its own words and its group's title."""
    for group in options.parser()._action_groups:
        for action in group._group_actions:
            if action.dest == name and action.help != "==SUPPRESS==":
                return f"{action.help} / {group.title}"
    raise LookupError(name)


# The tables


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_the_constructors(kind: str) -> None:
    arguments = list(inspect.signature(tagger_class(kind)).parameters)
    assert arguments[:2] == ["tagset", "lexicon"]
    sizes = set(arguments[2:]) - {"feed"}  # of inference networks alone: --infnet_feed
    assert sizes == {name for name, kinds in SIZES.items() if kind in kinds}


@pytest.mark.parametrize("name", SIZES)
def test_help_names_kinds_and_default(name: str) -> None:
    text = help_of(name)
    assert all(re.search(rf"\b{kind}\b", text) for kind in SIZES[name])
    assert not any(re.search(rf"\b{kind}\b", text) for kind in KINDS if kind not in (*SIZES[name], "crf_neural"))
    default = inspect.signature(tagger_class(SIZES[name][0])).parameters[name].default
    if not isinstance(default, bool):
        assert re.search(rf"\({float(default):g}\b" if isinstance(default, float) else rf"\({default}\b", text)


def test_help_tells_where_in_the_handout() -> None:
    """Each option that is about models or word features, by itself or by its group's title."""
    for name in (*SIZES, *FEATURES, "init", "states", "recipe", "samples", "generate"):
        if name not in ("unigram", "window"):
            assert re.search(r"eqs?\. \d|question|section|footnote|\b[HIL]\.\d|\(L\)", help_of(name)), name


def test_defaults_of_every_kind() -> None:
    assert set(defaults.TUNED) == set(KINDS)
    assert set(AWESOME) <= {*FEATURES, *SIZES}


# What does not go together


@pytest.mark.parametrize("kind", KINDS)
def test_size_of_another_kind(kind: str, call: Call, folder: Path) -> None:
    before = contents(folder)
    wrong = [
        name for name in SIZES if kind not in SIZES[name] and not (kind == "crf_neural" and EXTENDED[0] in SIZES[name])
    ]
    assert wrong or kind == "crf_neural"
    for name in wrong:
        given = VALUES[name][0]
        assert_one_line_error(call("toydev", "--model", kind, *given), given[0], f"kind {kind} ")
    assert contents(folder) == before


WRONG: list[tuple[list[str], list[str]]] = [
    (["-m", "crf_backprop", "-u", "--tag_rank", "3"], ["crf_backprop", "unigram", "tag_rank 3"]),
    (["-m", "crf_backprop", "--tag_form", "asymmetric"], ["tag_form asymmetric", "tag_rank 0"]),
    (["-m", "crf_neural", "--window", "2"], ["crf_extended", "window 2", "potentials full"]),
    (["-m", "crf_neural", "--rnn", "lstm", "--rnn_dim", "0"], ["rnn lstm", "rnn_dim 0"]),
    (["-m", "crf_neural", "--outside", "-l", "v.txt"], ["outside"]),
    (["-m", "crf_neural", "--tag_dim", "0"], ["--tag_dim 0", "kind crf_neural"]),
    (["-m", "crf_neural", "--no_one_hot"], ["--no_one_hot"]),
    (["-m", "hmm", "--no_one_hot"], ["--no_one_hot", "kind hmm"]),
    (["-m", "crf_neural", "-a"], ["--awesome", "crf_neural"]),
    (["-m", "hmm_neural", "--crf"], ["--crf", "hmm_neural"]),
    (["--train", "toysup", "-m", "x.pkl", "--rnn", "lstm"], ["--rnn", "kind hmm"]),
    *[(["-m", kind, "--" + name, *(["v.txt"] if name == "lexicon" else [])], ["--" + name, f"kind {kind},"])
      for kind in ONE_HOT_ONLY for name in FEATURES[1:]],
    *[(["-m", kind, "--init", "hmm"], ["--init", f"kind {kind} ", "crf, crf_backprop"])
      for kind in KINDS if kind not in ("crf", "crf_backprop")],
    (["-m", "crf_backprop", "--init", "hmm", "--affixes"], ["--init hmm", "one-hot"]),
    (["-m", "crf_backprop", "--init", "hmm", "--tag_rank", "2"], ["tag_rank"]),
    (["-m", "crf", "--init", "hmm", "--lambda", "0"], ["--init hmm", "--lambda"]),
    (["-m", "crf", "--init", "magic"], ["--init", "magic"]),
    *[(["-m", kind, "--states", "3"], ["--states", f"kind {kind} ", "hmm, hmm_neural"])
      for kind in KINDS if not kind.startswith("hmm")],
    (["-m", "hmm_neural", "--states", "3", "--problex"], ["--states", "--problex"]),
    (["-m", "hmm", "--states", "3", "--loss", "viterbi_error"], ["--states", "viterbi_error"]),
    *[(["-m", kind, "--generate", "3"], ["--generate", f"kind {kind}"])
      for kind in KINDS if not kind.startswith("hmm")],
]  # fmt: skip


def test_what_does_not_go_together(call: Call, folder: Path) -> None:
    (folder / "v.txt").write_text("the 1 0\ndog 0 1\n")
    before = contents(folder)
    for arguments, fragments in WRONG:
        assert_one_line_error(call("toydev", *arguments), *fragments)
        assert contents(folder) == before


def test_what_does_not_go_together_in_a_process(folder: Path) -> None:
    for arguments, fragments in WRONG[:1]:
        done = process("toydev", *arguments)
        assert_one_line_error(done, *fragments)
        assert done.stdout == ""


# Which kind it is


@pytest.mark.parametrize(
    "name", [name for name in SIZES if "crf_extended" in SIZES[name] and "crf_neural" not in SIZES[name]]
)
def test_crf_neural_with_variations_is_a_crf_extended(name: str) -> None:
    given, value = VALUES[name]
    for model in (["--model", "crf_neural"], ["-t", "ensup", "--crf", "-l", "words-50.txt", "-m", "x.pkl"]):
        plan = plan_of(*model, *given)
        assert plan.kind == "crf_extended" and plan.sizes[name] == value
    assert plan_of("--model", "crf_neural", *VALUES["tag_dim"][0]).kind == "crf_neural"


@pytest.mark.parametrize(
    "flags, kind, sizes",
    [
        (["-u"], "hmm", {"unigram": True}),
        (["-u", "--crf"], "crf_backprop", {"unigram": True}),
        (["-u", "--crf", "-r", "4"], "crf_extended", {"unigram": True, "rnn_dim": 4}),
        (["--crf", "--tag_dim", "4"], "crf_neural", {"rnn_dim": 0, "tag_dim": 4}),
        (["--crf", "--tag_rank", "4"], "crf_backprop", {"tag_rank": 4}),
        (["--crf", "--affixes"], "crf_backprop", {}),
    ],
)
def test_homework_flags(flags: list[str], kind: str, sizes: dict[str, Any]) -> None:
    plan = plan_of("-t", "ensup", "-m", "x.pkl", *flags)
    assert (plan.kind, plan.sizes, plan.settings["lr"]) == (kind, sizes, 0.05)


def test_awesome() -> None:
    """Alone, as a kind, and beside the homework's flags; options go before it."""
    alone = plan_of("--awesome")
    assert alone.kind == "awesome" and alone.save == "awesome_ensup.model" and alone.train == ["ensup"]
    assert alone == plan_of("--model", "awesome") == plan_of("-a", "-m", "awesome")
    chosen = {**alone.to_dict(), **alone.sizes}
    assert all(chosen[name] == value for name, value in AWESOME.items())
    homework = plan_of(*"-a -t ensup --crf -l words-10.txt -r 8 -m x.pkl --lr .3".split())
    assert (homework.kind, homework.save, homework.lexicon) == ("awesome", "x.pkl", ["words-10.txt"])
    assert homework.sizes == {**alone.sizes, "rnn_dim": 8}
    assert homework.settings == {**alone.settings, "lr": 0.3} and homework.problex == alone.problex
    without = plan_of(
        *"-a --no_problex --no_lexicon --no_outside --no_affixes --no_characters --no_one_hot".split()[:-1]
    )
    assert (without.problex, without.lexicon, without.affixes, without.characters) == (False, [], False, False)
    assert without.one_hot and without.sizes["outside"] is False


# Training and remembering


@pytest.mark.parametrize("name, kind", [(name, kind) for name in SIZES for kind in SIZES[name] if kind != "awesome"])
def test_sizes_train_and_are_remembered(name: str, kind: str, call: Call) -> None:
    given, value = VALUES[name]
    outcome = call("toydev", "--model", kind, *given, *NEEDED.get((name, kind), []), *TINY, "--save", "x.model")
    assert outcome.status == 0, outcome.err
    tagger = Tagger.load("x.model")
    assert tagger.kind == kind and tagger.sizes[name] == value and tagger.more["plan"]["sizes"][name] == value
    assert words("x_toydev.output") == words("toydev")
    outcome = call("toydev", "--model", "x.model", "-o", "again")
    assert outcome.status == 0 and Path("again").read_bytes() == Path("x_toydev.output").read_bytes()


@pytest.mark.parametrize("kind", ["crf_backprop", "hmm_neural", "crf_extended"])
def test_every_word_feature(kind: str, call: Call, folder: Path) -> None:
    """They train together, and the model file remembers them."""
    (folder / "v.txt").write_text("the 1 0\ndog 0 1\nrun 1 1\n")
    features = dict(one_hot=True, lexicon=["v.txt"], problex=True, affixes=True, characters=True, finetune=True)
    flags = [f"--{name}" for name in features if name != "lexicon"]
    outcome = call("toydev", "--model", kind, "-l", "v.txt", *flags, *TINY, "--metrics", "m.json")
    assert outcome.status == 0, outcome.err
    (model,) = folder.glob(f"{kind}_toysup_one_hot_v_*characters_finetune.model")
    tagger = Tagger.load(model)
    assert {name: tagger.more["plan"][name] for name in features} == features
    assert len(tagger.lexicon.blocks) == len(features) - 1
    trained = weights(model)
    assert any(name.endswith("delta") and tensor.any() for name, tensor in trained.items())


def test_awesome_trains(call: Call, folder: Path) -> None:
    """With features of its own choice, and small."""
    (folder / "v.txt").write_text("the 1 0\ndog 0 1\nrun 1 1\n")
    given = ["-l", "v.txt", "-r", "4", *TINY, "--metrics", "m.json"]
    outcome = call("toydev", "--awesome", *given, "--save", "x.model")
    assert outcome.status == 0, outcome.err
    assert metrics()["model"] == "awesome"
    plan = Tagger.load("x.model").more["plan"]
    assert plan["kind"] == "awesome" and plan["lexicon"] == ["v.txt"] and plan["problex"] == AWESOME["problex"]
    outcome = call("toydev", "-t", "toysup", "--crf", "--awesome", *given, "--model", "my.pkl")
    assert outcome.status == 0 and same_weights("my.pkl", "x.model")
    (folder / "toysup").unlink()
    outcome = call("toydev", "--awesome", "--model", "my.pkl", "-o", "again")  # a file, and nothing to train: loaded
    assert outcome.status == 0 and Path("again").read_bytes() == Path("x_toydev.output").read_bytes()


# --init hmm


@pytest.mark.parametrize("kind", ["crf", "crf_backprop"])
@pytest.mark.parametrize("flags", [[], ["--unigram"], ["--lambda", "0.7"]])
def test_start_from_an_hmm(kind: str, flags: list[str], call: Call) -> None:
    """Before anything can have changed p(tags | words) is the HMM's."""
    call("toydev", "--model", "hmm", *flags, "--save", "hmm.model", "--metrics", "hmm.json")
    still = ["--max_steps", "20", "--batch_size", "20", "--eval_interval", "20", "--lr", "1e-9", "--save", "x.model"]
    assert call("toydev", "--model", kind, *flags, "--init", "hmm", *still, "--metrics", "m.json").status == 0
    assert len(metrics()["history"]) == 1  # and no restarts
    expected = metrics("hmm.json")["conditional_cross_entropy"]
    assert metrics()["cross_entropy"] == pytest.approx(expected, rel=1e-4)
    assert Path("x_toydev.output").read_bytes() == Path("hmm_toydev.output").read_bytes()
    assert Tagger.load("x.model").more["plan"]["init"] == "hmm"


def test_start_from_an_hmm_with_the_homeworks_flags(call: Call, folder: Path) -> None:
    """Whose lambda is 0 where nothing is said; only wholly tagged sentences are counted."""
    (folder / "toyraw").write_text("the dog run\nthe/D dog walk\n" * 3)
    still = ["--max_steps", "1", "--lr", "1e-9", "--init", "hmm"]
    for name, train in (("one", ["toysup"]), ("two", ["toysup", "toyraw"])):
        outcome = call("toydev", "-t", *train, "--crf", *still, "-m", f"{name}.pkl", "--metrics", f"{name}.json")
        assert outcome.status == 0, outcome.err
    call("toydev", "--model", "hmm", "--metrics", "hmm.json")
    expected = metrics("hmm.json")["conditional_cross_entropy"]
    assert metrics("one.json")["cross_entropy"] == pytest.approx(expected, rel=1e-4)
    (folder / "rawsup").write_text("the/D dog walk\n")
    assert_one_line_error(call("toydev", "-t", "rawsup", "--model", "crf", "--init", "hmm"), "rawsup", "--init hmm")


def test_interrupted_training_that_began_with_an_hmm(call: Call) -> None:
    arguments = [*arguments_for("crf_backprop"), "--init", "hmm"]
    assert call(*arguments, "--save", "whole.model").status == 0
    for step in (1, 7):
        assert interrupt(call, step, *arguments).status == 130
        assert call("toydev", "--checkpoint", "x.model.checkpoint").status == 0
        assert same_weights("x.model", "whole.model")


# --states


@pytest.mark.parametrize("kind", ["hmm", "hmm_neural"])
def test_anonymous_states(kind: str, call: Call, folder: Path) -> None:
    """No tag is looked at, neither in training nor in scoring, nor by the model when it is loaded."""
    run = ["--states", "3", "--max_steps", "600", "--eval_interval", "60", "--restarts", "0", "--model", kind]
    outcome = call("toydev", *run, "--save", "x.model", "--metrics", "m.json")
    assert outcome.status == 0, outcome.err
    tagger = Tagger.load("x.model")
    assert list(tagger.tagset) == ["s0", "s1", "s2"] and tagger.more["plan"]["states"] == 3
    report = metrics()
    assert report["accuracy"] == dict.fromkeys(("all", "known", "seen", "novel"))
    assert report["conditional_cross_entropy"] is None and "accuracy" not in outcome.out
    looks = [look["loss"] for look in report["history"]]
    assert min(looks) < looks[0] and report["cross_entropy"] == pytest.approx(min(looks), rel=1e-5)
    assert report["perplexity"] == pytest.approx(math.exp(report["cross_entropy"]))
    assert words("x_toydev.output") == words("toydev")
    tags = {tag for sentence in read_corpus("x_toydev.output") for tag in sentence.tags}
    assert tags <= {"s0", "s1", "s2"} and len(tags) > 1
    (folder / "toysup").write_text(re.sub(r"/[A-Z]\b", "/X", CORPORA["toysup"]))
    (folder / "toydev").write_text(re.sub(r"/[A-Z]\b", "", CORPORA["toydev"]))
    assert call("toydev", *run, "--save", "other.model").status == 0
    assert same_weights("x.model", "other.model")
    outcome = call("toytest", "--model", "x.model", "--metrics", "m.json")
    assert outcome.status == 0 and "warning" not in outcome.err
    assert metrics()["accuracy"]["all"] is None and math.isfinite(metrics()["cross_entropy"])


def test_anonymous_states_of_raw_text(call: Call, folder: Path) -> None:
    (folder / "toyraw").write_text(re.sub(r"/[A-Z]\b", "", CORPORA["toysup"]))
    (folder / "toydev").unlink()
    outcome = call("toyraw", "--train", "toyraw", "--model", "hmm", "--states", "4", "--metrics", "m.json")
    assert outcome.status == 0 and "the last tenth" in outcome.err and "raw" in metrics()["input"]
    assert metrics()["history"][-1]["loss"] < metrics()["history"][0]["loss"]
    call("toyraw", "-t", "toyraw", "--model", "hmm", "--states", "4", "--max_steps", "54", "--save", "start.model")
    outcome = call("toyraw", "-t", "toyraw", "--checkpoint", "start.model", "--max_steps", "54", "--save", "on.model")
    assert outcome.status == 0, outcome.err  # it keeps its states
    assert list(Tagger.load("on.model").tagset) == [f"s{number}" for number in range(4)]
    assert Tagger.load("on.model").more["plan"]["states"] == 4


# --kbest, --samples, --generate


def ranked(path: str | Path) -> list[tuple[int, int, float, str]]:
    lines = [line.split("\t") for line in Path(path).read_text().splitlines()]
    return [(int(number), int(rank), float(log_prob), tagging) for number, rank, log_prob, tagging in lines]


@pytest.mark.parametrize("kind", ["hmm", "crf_backprop", "crf_neural"])
def test_kbest(kind: str, call: Call, folder: Path) -> None:
    """The best is the output; all 4^n together have probability 1; in the order of the corpus, by falling rank."""
    (folder / "shorttest").write_text("the dog run\nevery 1&slash;2\nzebra\nthe/D cat/N sees/V\n")
    call("toydev", "--model", kind, *SHORT, "--save", "x.model")
    assert call("shorttest", "--model", "x.model", "--kbest", "70").status == 0
    assert {"x_shorttest.kbest", "x_shorttest.output"} < set(contents(folder))
    found = ranked("x_shorttest.kbest")
    assert [row[:2] for row in found] == [(s, r) for s, n in enumerate((3, 2, 1, 3), 1) for r in range(1, 4**n + 1)]
    output = Path("x_shorttest.output").read_text().splitlines()
    for number, line in enumerate(output, start=1):
        rows = [row for row in found if row[0] == number]
        assert rows[0][3] == line
        assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
        assert len({row[3] for row in rows}) == len(rows)
        assert sum(math.exp(row[2]) for row in rows) == pytest.approx(1, abs=1e-4)
    call("shorttest", "--model", "x.model", "--kbest", "2")
    assert [row[1] for row in ranked("x_shorttest.kbest")] == [1, 2] * 4
    by_hand = Tagger.load("x.model")
    first = [row for row in found if row[0] == 1]
    best = by_hand(batch_of(by_hand, "shorttest", 0)).argmax
    assert first[0][2] == pytest.approx(by_hand(batch_of(by_hand, "shorttest", 0)).log_prob(best).item(), abs=1e-4)


def batch_of(tagger: Tagger, name: str, number: int):
    from corpus import IntegerizedCorpus

    return IntegerizedCorpus(read_corpus(name), tagger.lexicon.vocab, tagger.tagset).batch(torch.tensor([number]))


def test_samples(call: Call, folder: Path) -> None:
    """Drawn as often as they are probable, with that probability beside them; by the seed."""
    (folder / "shorttest").write_text("walk run\nrun\n")
    call("toydev", "--model", "hmm", "--lambda", "3", "--save", "x.model")
    files = {}
    for seed in ("1", "1", "2"):
        call("shorttest", "--model", "x.model", "--samples", "2000", "--kbest", "99", "--seed", seed)
        files.setdefault(seed, []).append(Path("x_shorttest.samples").read_bytes())
    assert files["1"][0] == files["1"][1] != files["2"][0]
    drawn = ranked("x_shorttest.samples")
    assert [row[:2] for row in drawn] == [(s, r) for s in (1, 2) for r in range(1, 2001)]
    exact = {(row[0], row[3]): row[2] for row in ranked("x_shorttest.kbest")}
    times = Counter((row[0], row[3]) for row in drawn)
    for number, _, log_prob, tagging in drawn:
        assert log_prob == pytest.approx(exact[number, tagging], abs=1e-5)
    for key, log_prob in exact.items():
        p = math.exp(log_prob)
        assert abs(times[key] / 2000 - p) < 5 * math.sqrt(p * (1 - p) / 2000) + 1e-9


def test_more_taggings_of_standard_input(call: Call, folder: Path) -> None:
    """They go beside the model, whatever becomes of the best one; and nothing is written beside them."""
    call("toydev", "--model", "hmm", "--save", "x.model")
    before = set(contents(folder))
    outcome = call("-", "--model", "x.model", "--kbest", "2", "--samples", "3", stdin=b"the dog\nthe cat run\n")
    assert outcome.status == 0 and set(contents(folder)) - before == {"x_stdin.kbest", "x_stdin.samples"}
    assert [row[3] for row in ranked("x_stdin.kbest") if row[1] == 1] == outcome.out.splitlines()
    assert all(name in outcome.err for name in ("x_stdin.kbest", "x_stdin.samples"))


def test_impossible_sentences_have_no_ranked_taggings(call: Call, folder: Path) -> None:
    (folder / "oddsup").write_text("a/D b/N c/V\na/D b/N\na/D b/V c/N\nc/N\n")
    (folder / "odddev").write_text("a/D b/N\nc/V a/N\nnew/V C/N\na/D b/N\n")
    outcome = call("odddev", "--model", "hmm", "--lambda", "0", "--kbest", "3", "--samples", "2")
    assert outcome.status == 0 and "2 sentences have no possible tagging" in outcome.err
    assert {row[0] for row in ranked("hmm_oddsup_odddev.kbest")} == {1, 4}
    assert [row[0] for row in ranked("hmm_oddsup_odddev.samples")] == [1, 1, 4, 4]


@pytest.mark.parametrize("kind", ["hmm", "hmm_neural"])
def test_generate(kind: str, call: Call, folder: Path) -> None:
    """Sentences of the model's tags and words, in the format of a corpus; by the seed."""
    files = []
    for seed in (1, 1, 2):
        outcome = call("toydev", "--model", kind, *SHORT, "--save", "x.model", "--generate", "50", "--seed", str(seed))
        assert outcome.status == 0 and "x.generated" in outcome.err
        files.append(Path("x.generated").read_bytes())
        call("toydev", "--model", "x.model", "--generate", "50", "--seed", str(seed))
        assert Path("x.generated").read_bytes() == files[-1]
    assert files[0] == files[1] != files[2]
    sentences = read_corpus("x.generated")
    assert len(sentences) == 50
    vocabulary = {word for sentence in words("toysup") for word in sentence}
    assert {tag for s in sentences for tag in s.tags} <= set("DJNV")
    assert {word for s in sentences for word in s.words} <= vocabulary | {"OOV"}


def test_more_files_are_written_whole_or_not_at_all(call: Call, folder: Path) -> None:
    """And that they cannot be written is found out before training."""
    call("toydev", "--model", "hmm", "--save", "x.model")
    for option, name in (
        ("--kbest", "x_toydev.kbest"),
        ("--samples", "x_toydev.samples"),
        ("--generate", "x.generated"),
    ):
        (folder / name).mkdir()
        before = contents(folder)
        assert_one_line_error(call("toydev", "--model", "hmm", "--save", "x.model", option, "3"), f"{name}: cannot")
        assert_one_line_error(call("toydev", "--model", "x.model", option, "3"), f"{name}: cannot")
        assert contents(folder) == before


# Options that come too late


def warnings(err: str) -> list[str]:
    return [line for line in err.splitlines() if "warning" in line]


def test_settings_that_a_kind_never_reads(call: Call) -> None:
    """What is said of gradients to a model that counts, and of counts to one that descends, has no effect."""
    of_gradients = ["--lr", "0.3", "--batch_size", "3", "--eval_interval", "9", "--reg", "1", "--optimizer", "sgd"]
    named = {
        kind: warnings(call("toydev", "--model", kind, *of_gradients, "--lambda", "2", "--max_steps", "20").err)
        for kind in ("hmm", "crf")
    }
    assert [re.findall(r"kind \w+|--\w+", line) for line in named["crf"]] == [["kind crf", "--lambda"]]
    (line,) = named["hmm"]
    assert sorted(re.findall(r"--\w+", line)) == sorted(option for option in of_gradients if option.startswith("--"))
    start = ["--model", "crf_backprop", "--init", "hmm", "--max_steps", "20"]
    assert not warnings(call("toydev", *start, "--lambda", "2").err)


def test_a_model_that_is_loaded_says_that_it_was_trained_before(call: Call) -> None:
    assert re.search(r"^training +\S+ s, 1 epochs", call("toydev", "--model", "hmm", "--save", "x.model").out, re.M)
    printed = call("toydev", "--model", "x.model").out
    assert re.search(r"^was trained in +\S+ s, 1 epochs", printed, re.M) and not re.search("^training", printed, re.M)


def test_options_beside_a_checkpoint(call: Call) -> None:
    """Those that the checkpoint settles otherwise are named; the command that was interrupted names none."""
    arguments = [*arguments_for("crf_neural"), "--rnn", "gru", "--train", "toysup"]
    assert interrupt(call, 3, *arguments).status == 130
    late = ["--lr", "0.3", "--rnn_dim", "3", "--tag_dim", "9", "--problex", "--lambda", "1", "--no_boundary"]
    outcome = call("toydev", "-c", "x.model.checkpoint", *late)
    assert outcome.status == 0
    (warning,) = warnings(outcome.err)
    assert "x.model.checkpoint goes on as it was begun" in warning
    assert sorted(re.findall(r"--\w+", warning)) == ["--lambda", "--lr", "--no_boundary", "--problex", "--tag_dim"]
    assert interrupt(call, 3, *arguments).status == 130
    outcome = call(*arguments, "-c", "x.model.checkpoint", "--save", "y.model")
    assert outcome.status == 0 and not warnings(outcome.err) and same_weights("x.model", "y.model")


def test_options_beside_a_loaded_model(call: Call) -> None:
    call("toydev", "--model", "crf_backprop", *SHORT, "--affixes", "--save", "x.model")
    outcome = call("toydev", "--model", "x.model", "--affixes", "--lr", "3", "--seed", "3", "--decoder", "posterior")
    assert outcome.status == 0
    (warning,) = warnings(outcome.err)
    assert "x.model is loaded, not trained" in warning and re.findall(r"--\w+", warning) == ["--lr"]
    assert not warnings(call("toydev", "--model", "x.model", "--affixes", *SHORT).err)


def test_starting_from_a_model(call: Call, folder: Path) -> None:
    """It keeps its features and sizes, and says so; --finetune alone can be added, which H.1 advises to do late."""
    (folder / "v.txt").write_text("the 1 0\ndog 0 1\nrun 1 1\n")
    call("toydev", "--model", "crf_neural", "-l", "v.txt", "-r", "3", *SHORT, "--save", "x.model")
    outcome = call("toydev", "-c", "x.model", "-r", "5", "--affixes", "--lr", "0.1", *SHORT, "--save", "y.model")
    assert outcome.status == 0
    (warning,) = warnings(outcome.err)
    assert sorted(re.findall(r"--\w+", warning)) == ["--affixes", "--rnn_dim"]
    tuned = [*SHORT, "--finetune", "--save", "y.model"]
    assert call("toydev", "-c", "x.model", *tuned).status == 0
    before, after = Tagger.load("x.model"), Tagger.load("y.model")
    assert after.lexicon.blocks[0].delta.any() and before.lexicon.blocks[0].delta is None
    assert after.more["plan"]["finetune"] and after.more["plan"]["lexicon"] == ["v.txt"]
    assert interrupt(call, 3, "toydev", "-c", "x.model", *tuned, "--save", "z.model").status == 130
    assert call("toydev", "-c", "z.model.checkpoint").status == 0 and same_weights("y.model", "z.model")


def test_model_with_problex_is_not_trained_on(call: Call, folder: Path) -> None:
    call("toydev", "--model", "crf_backprop", "--problex", *SHORT, "--save", "x.model")
    assert_one_line_error(call("toydev", "-c", "x.model"), "x.model: a model with --problex cannot be trained on")
    arguments = [*arguments_for("crf_backprop"), "--problex"]
    assert call(*arguments, "--save", "whole.model").status == 0
    assert interrupt(call, 3, *arguments).status == 130  # of an interrupted training the tenths are found again
    assert call("toydev", "-c", "x.model.checkpoint").status == 0 and same_weights("x.model", "whole.model")


@pytest.mark.parametrize("plan", [None, 3, {}, {"sizes": 3, "settings": {}}, {"states": "x"}])
def test_model_file_that_tells_nonsense_of_its_training(plan: Any, call: Call) -> None:
    call("toydev", "--model", "crf_backprop", *SHORT, "--save", "x.model")
    tagger = Tagger.load("x.model")
    tagger.save("y.model", **{**tagger.more, "plan": plan})
    assert call("toydev", "--model", "y.model", "--affixes").status == 0
    assert call("toydev", "-c", "y.model", *SHORT, "--save", "z.model").status == 0
