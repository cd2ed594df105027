"""Recipes: which files are ones, which parameters are in which group, and that a group learns when and as it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import command_line
from command_line import RUN, Call, arguments_for, assert_one_line_error, contents, interrupt, same_weights, weights
from corpus import InputError, IntegerizedCorpus, parse_sentence
from integerize import Integerizer
from lexicon import Lexicon
from recipe import GROUPS, Group, members, parameter_groups, read_recipe
from tagger import KINDS, Tagger, read_tensors, tagger_class
from training import Interrupted, Settings, State, Trainer
from word_vectors import WordVectors

folder, call = command_line.folder, command_line.call  # fixtures

SENTENCES = ["the/D dog/N saw/V a/D cat/N", "a/D dog/N barks/V", "the/D cat/N barks/V", "dog/N saw/V the/D dog/N"] * 5
VECTORS = WordVectors(["the", "dog", "saw", "OOL"], torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))
FAST = Settings(lr=0.05, batch_size=5, max_steps=100, eval_interval=40, patience=99)  # 20 sentences, 5 epochs, 20 steps


# The file

BAD = {
    "": "no [[group]] table",
    "group = 3": "no [[group]] table",
    "[group]\nname = 'rnn'": "no [[group]] table",
    "[[group]]\nname = 'rnn'\n[[group]": "r.toml:3: no TOML",
    "[[group]]\n\nname = \n": "r.toml:3: no TOML",
    "[[group]]\nname = 'rnn'\nname = 'tags'\n": "r.toml:3: no TOML",
    "[[groups]]\nname = 'rnn'": "unknown key 'groups'",
    "[[group]]\nname = 'rnn'\nrate = 3": "group 1: unknown key 'rate'; there are name, lr,",
    "[[group]]\nlr = 0.1": "group 1: it has no name; the groups are lexicon, vectors,",
    "[[group]]\nname = 'rnn'\n[[group]]\nname = 'biases'": "group 2: there is no group 'biases'",
    "[[group]]\nname = ['rnn']": "there is no group ['rnn']",
    "[[group]]\nname = 'rnn'\nlr = -1": "lr = -1 is no number",
    "[[group]]\nname = 'rnn'\nlr = '0.1'": "lr = '0.1' is no number",
    "[[group]]\nname = 'rnn'\nlr = true": "lr = True is no number",
    "[[group]]\nname = 'rnn'\nlr = nan": "lr = nan is no number",
    "[[group]]\nname = 'rnn'\nweight_decay = inf": "weight_decay = inf is no number",
    "[[group]]\nname = 'rnn'\nfrom_epoch = 0": "from_epoch = 0 is no whole number from 1 on",
    "[[group]]\nname = 'rnn'\nfrom_epoch = 1.5": "from_epoch = 1.5 is no whole number",
    "[[group]]\nname = 'rnn'\nfrom_epoch = 3\nto_epoch = 2": "to_epoch = 2 is no whole number from 3 on",
    "[[group]]\nname = 'rnn'\n[[group]]\nname = 'rnn'": "group 'rnn' twice",
    "[[group]]\nname = 'vectors'\n[[group]]\nname = 'lexicon'": "overlap",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_recipe(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    message = str(caught.value)
    assert str(path) in message and BAD[text] in message and "\n" not in message


def test_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(
        b"\xef\xbb\xbf# comment\r\n[[group]]\r\nname = 'vectors'\r\nlr = 1\r\nfrom_epoch = 2\r\nto_epoch = 2\r\n"
        b"[[group]]\nname = 'rnn'\nweight_decay = 1e-2\n"
    )
    groups = read_recipe(path)
    assert [Group(**group) for group in groups] == [Group("vectors", 1, 0.0, 2, 2), Group("rnn", None, 0.01, 1, None)]
    assert json.loads(json.dumps(groups)) == groups
    with pytest.raises(InputError, match="nothing.toml"):
        read_recipe(tmp_path / "nothing.toml")


def test_when_a_group_learns() -> None:
    assert [epoch for epoch in range(1, 7) if Group("rnn", from_epoch=2, to_epoch=4).learns(epoch)] == [2, 3, 4]
    assert all(Group("rnn").learns(epoch) for epoch in (1, 1000))


# Groups of parameters


def models() -> dict[str, Tagger]:
    """A model of each kind, and those whose parameters have other names."""
    sentences = [parse_sentence(line, "test") for line in SENTENCES]
    tagset = Integerizer("DNV")
    one_hot = Lexicon.from_corpus(sentences)
    all_features = Lexicon.from_corpus(sentences, [VECTORS], True, True, True, characters=True, finetune=True)
    found = {}
    for kind in KINDS:
        lexicon = one_hot if kind in ("hmm", "crf") else all_features
        found[kind] = tagger_class(kind)(tagset, lexicon)
    backprop, extended = tagger_class("crf_backprop"), tagger_class("crf_extended")
    found["low rank"] = backprop(tagset, all_features, tag_rank=2, tag_form="asymmetric")
    found["unigram"] = backprop(tagset, all_features, unigram=True)
    for potentials in ("shared", "inner", "emission_context", "emission_mlp", "window"):
        found[potentials] = extended(tagset, all_features, potentials=potentials, outside=True)
    found["deep"] = extended(tagset, all_features, rnn="lstm", layers=2)
    return found


def test_every_parameter_is_in_a_group() -> None:
    """In just one, those of `vectors` apart; and every group has parameters in some model."""
    empty = set(GROUPS)
    for model, tagger in models().items():
        names = [name for name, _ in tagger.named_parameters()]
        for name in names:
            groups = [group for group in GROUPS if name in members(group, names)]
            assert groups in ([group] for group in set(GROUPS) - {"vectors"}) or groups == ["lexicon", "vectors"], (
                model,
                name,
                groups,
            )
            empty -= set(groups)
    assert not empty


def test_parameter_groups() -> None:
    tagger = models()["crf_neural"]
    recipe = [dict(name="vectors", lr=0.5, weight_decay=0.1), dict(name="rnn", from_epoch=2)]
    vectors, rnn, rest = parameter_groups(tagger, recipe, lr=0.3)
    assert [id(p) for p in vectors["params"]] == [id(tagger.lexicon.blocks[1].delta)]
    assert {id(p) for p in rnn["params"]} == {id(tagger.M), id(tagger.M_)}
    assert (vectors["peak"], rnn["peak"], rest["peak"]) == (0.5, 0.3, 0.3)
    assert (vectors["weight_decay"], rnn["weight_decay"], rest["weight_decay"]) == (0.1, 0.0, 0.0)
    everything = [id(p) for group in (vectors, rnn, rest) for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in tagger.parameters())
    (only,) = parameter_groups(tagger, [], lr=0.3)
    assert [id(p) for p in only["params"]] == [id(p) for p in tagger.parameters()]
    with pytest.raises(InputError, match="group 'rnn'.*no such parameter"):
        parameter_groups(models()["crf"], recipe[1:], lr=0.3)


# Training with them


def trainer(kind: str, settings: Settings, state: State | None = None, stop_at: int = 0) -> tuple[Trainer, list[dict]]:
    """A trainer, and the weights before its first step and after each."""
    sentences = [parse_sentence(line, "test") for line in SENTENCES]
    lexicon = Lexicon.from_corpus(sentences, [VECTORS], True, finetune=True)
    if kind == "crf":
        lexicon = Lexicon.from_corpus(sentences)
    tagset, asked = Integerizer("DNV"), []
    corpora = [IntegerizedCorpus(sentences, lexicon.vocab, tagset, training=training) for training in (True, False)]

    def stop_requested() -> bool:
        asked.append(True)
        steps.append(values(made))
        return len(asked) == stop_at

    made = tagger_class(kind)(tagset, lexicon, **(dict(rnn_dim=2, tag_dim=2) if "neural" in kind else {}))
    torch.manual_seed(3)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    steps = [values(made)]
    return Trainer(lambda: made, *corpora, settings, state, stop_requested, quiet=True), steps


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The names of the parameters that are not bit for bit what they were."""
    return {name for name in before if not torch.equal(before[name], after[name])}


RECIPES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "late vectors": ("crf_neural", [dict(name="vectors", from_epoch=3, lr=0.01, weight_decay=0.5)]),
    "early tags": ("crf_neural", [dict(name="tags", to_epoch=2), dict(name="rnn", from_epoch=2, to_epoch=4)]),
    "by hand": ("crf", [dict(name="transitions", from_epoch=2, to_epoch=3, weight_decay=0.1)]),
    "all but one": ("crf_backprop", [dict(name="lexicon", to_epoch=1), dict(name="emissions", from_epoch=4)]),
    "everything": ("crf_backprop", [dict(name=name, from_epoch=2) for name in ("lexicon", "emissions", "transitions")]),
}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("case", RECIPES)
def test_frozen_parameters_do_not_move(case: str, optimizer: str) -> None:
    """Not by a bit, in spite of momentum, decay and regularizer; and the others do."""
    kind, recipe = RECIPES[case]
    running, steps = trainer(kind, replace(FAST, optimizer=optimizer, reg=1.0, recipe=recipe))
    running.run()
    assert len(steps) == 21
    names = list(steps[0])
    for step in range(20):
        epoch = step // 4 + 1
        frozen = {
            name for group in recipe if not Group(**group).learns(epoch) for name in members(group["name"], names)
        }
        if step:  # at the first step the learning rate is 0
            assert moved(steps[step], steps[step + 1]) == set(names) - frozen, (step, frozen)


def test_rates_and_decay_of_groups() -> None:
    """SGD: each group steps down the same gradient by its own rate, and decays by it; rates follow the schedule."""
    plain = replace(FAST, optimizer="sgd", max_steps=15, clip=0.0, lr=0.1, warmup=0.5)
    recipe = [dict(name="emissions", lr=0.3, weight_decay=0.2), dict(name="transitions", lr=0.0)]
    rates = [plain.learning_rate(sentences) for sentences in (0, 5, 10)]
    running, steps = trainer("crf", plain)
    grouped, grouped_steps = trainer("crf", replace(plain, recipe=recipe))
    running.run(), grouped.run()
    assert moved(grouped_steps[0], grouped_steps[3]) == {"emission"}
    start = steps[1]  # where the first step, whose rate is 0, has left both
    assert not moved(start, grouped_steps[1]) and rates[1] > 0
    gradient = (start["emission"] - steps[2]["emission"]) / rates[1]
    expected = start["emission"] * (1 - 3 * rates[1] * 0.2) - 3 * rates[1] * gradient
    torch.testing.assert_close(grouped_steps[2]["emission"], expected, rtol=1e-4, atol=1e-6)


def test_decay_is_decoupled() -> None:
    """AdamW: beside its step, which without decay it would take too, each number shrinks by rate * weight_decay."""
    plain = replace(FAST, max_steps=5, warmup=0.0, clip=0.0)
    (running, without), (decaying, with_decay) = (
        trainer("crf", replace(plain, recipe=[dict(name="emissions", weight_decay=decay)])) for decay in (0.0, 0.7)
    )
    running.run(), decaying.run()
    shrunk = without[1]["emission"] - plain.learning_rate(0) * 0.7 * without[0]["emission"]
    torch.testing.assert_close(with_decay[1]["emission"], shrunk)
    assert torch.equal(with_decay[1]["trans"], without[1]["trans"])


@pytest.mark.parametrize("stop_at", [1, 6, 8, 13, 20])
@pytest.mark.parametrize("case", ["late vectors", "early tags", "by hand"])
def test_interrupted_run_ends_the_same(case: str, stop_at: int, tmp_path: Path) -> None:
    """Bit for bit, with the moments of an optimizer that has stepped some groups more often than others."""
    kind, recipe = RECIPES[case]
    settings = replace(FAST, recipe=recipe)
    whole = weights_of(trainer(kind, settings)[0].run())
    running, _ = trainer(kind, settings, stop_at=stop_at)
    with pytest.raises(Interrupted):
        running.run()
    running.state.save(tmp_path / "checkpoint")
    state, _ = State.load(tmp_path / "checkpoint")
    assert not moved(whole, weights_of(trainer(kind, settings, state)[0].run()))


def weights_of(tagger: Tagger) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tagger.state_dict().items()}


# On the command line

SIZES = ["--rnn_dim", "3", "--tag_dim", "3", "--emission_features", "4", "--transition_features", "4"]


def write_vectors(path: Path) -> None:
    path.write_text("the 1 0\ndog 0 1\nrun 1 1\nwalk 2 1\ntree 1 3\n")


def test_recipe_goes_on_from_a_checkpoint(call: Call, folder: Path) -> None:
    """To the same weights, without the file, whose content the checkpoint has; and the model remembers it."""
    write_vectors(folder / "v.txt")
    (folder / "r.toml").write_text(
        "[[group]]\nname = 'vectors'\nfrom_epoch = 2\nlr = 0.5\n\n[[group]]\nname = 'rnn'\nto_epoch = 1\n"
    )
    arguments = [*arguments_for("crf_neural"), "-l", "v.txt", "--finetune", "--recipe", "r.toml"]
    assert call(*arguments, "--save", "whole.model").status == 0
    assert interrupt(call, 6, *arguments).status == 130
    groups = read_recipe("r.toml")
    (folder / "r.toml").unlink()
    assert call("toydev", "--checkpoint", "x.model.checkpoint").status == 0
    assert same_weights("x.model", "whole.model")
    assert Tagger.load("x.model").more["plan"]["settings"]["recipe"] == groups
    assert weights("x.model")["lexicon.blocks.0.delta"].any()


def test_finetuning_is_a_group_of_a_recipe(call: Call, folder: Path) -> None:
    write_vectors(folder / "v.txt")
    arguments = ["toydev", "--model", "crf_neural", *RUN, *SIZES, "-l", "v.txt", "--finetune", "--restarts", "0"]
    (folder / "r.toml").write_text("[[group]]\nname = 'vectors'\nlr = 0.5\nfrom_epoch = 2\n")
    options = {
        "plain": [], "never": ["--finetune_from", "9"], "fast": ["--finetune_lr", ".5", "--finetune_from", "2"],
        "recipe": ["--recipe", "r.toml"],
    }  # fmt: skip
    for name, more in options.items():
        assert call(*arguments, *more, "--save", f"{name}.model").status == 0
    assert same_weights("fast.model", "recipe.model")
    deltas = {name: weights(f"{name}.model")["lexicon.blocks.0.delta"].norm().item() for name in options}
    assert deltas["never"] == 0 < deltas["plain"] < deltas["fast"]
    fixed = [weights(f"{name}.model")["lexicon.blocks.0.matrix"] for name in options]
    assert all(matrix.equal(fixed[0]) for matrix in fixed)  # it is beside them that training takes place


def test_refused(call: Call, folder: Path) -> None:
    """One line, status 2, no file."""
    write_vectors(folder / "v.txt")
    for name, text in {
        "broken": "[[group]]\nname = rnn\n",
        "unknown": "[[group]]\nname = 'bias'\n",
        "vectors": "[[group]]\nname = 'vectors'\n",
        "rnn": "[[group]]\nname = 'rnn'\n",
    }.items():
        (folder / f"{name}.toml").write_text(text)
    before = contents(folder)
    for arguments, *fragments in [
        (["crf_neural", "--recipe", "broken.toml"], "--recipe", "broken.toml:2: no TOML"),
        (["crf_neural", "--recipe", "no.toml"], "--recipe", "no.toml: No such file"),
        (["crf_neural", "--recipe", "unknown.toml"], "unknown.toml: group 1", *GROUPS),
        (["crf_backprop", "--recipe", "rnn.toml"], "group 'rnn'", "no such parameter"),
        (["crf_neural", "--recipe", "vectors.toml"], "group 'vectors'", "no such parameter"),
        (["hmm", "--recipe", "rnn.toml"], "--recipe", "hmm"),
        (["crf_neural", "--finetune"], "--finetune needs --lexicon"),
        (["crf_neural", "-l", "v.txt", "--finetune_lr", "1"], "--finetune_lr needs --finetune"),
        (["crf_neural", "--finetune_from", "2"], "--finetune_from needs --finetune"),
        (
            ["crf_neural", "-l", "v.txt", "--finetune", "--finetune_lr", "1", "--recipe", "vectors.toml"],
            "--finetune_lr", "'vectors' twice",
        ),
    ]:  # fmt: skip
        assert_one_line_error(call("toydev", "--model", *arguments), *fragments)
        assert contents(folder) == before


def test_recipe_in_a_checkpoint_that_was_tampered_with(call: Call, folder: Path) -> None:
    from tagger import write_tensors

    assert interrupt(call, 2, *arguments_for("crf_backprop")).status == 130
    header, tensors = read_tensors("x.model.checkpoint")
    header["more"]["plan"]["settings"]["recipe"] = [dict(name="rnn", magic=1)]
    write_tensors("x.model.checkpoint", tensors, header)
    assert_one_line_error(
        call("toydev", "-c", "x.model.checkpoint"), "not a checkpoint that this tag.py can go on with"
    )
