"""From the options of tag.py to an inference network for a model: load the one beside it, or train one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from characters import Characters
from corpus import InputError, IntegerizedCorpus, Sentence, read_corpus
from decoders import DESCENTS, LEARNED
from decoders import infnet as networks
from decoders import infnet_training as amortizing
from decoders.infnet import Settings
from decoders.margin import CostAugmented, Joint
from learn import plan_of, stop_on_signals, without_tags
from local import LocalTagger
from outputs import require_writable_model, say, warn
from plan import find, given, prefix, spelled
from tagger import Tagger
from training import Interrupted
from word_vectors import read_lexicon

VECTORS = "words-50.txt"  # of a network for a model that has none
OPTIONS = {
    "network": "infnet", "hidden": "infnet_hidden", "layers": "infnet_layers", "window": "infnet_window",
    "plus": "infnet_plus", "feed": "infnet_feed", "weight": "infnet_lambda", "annealing": "infnet_annealing",
    "objective": "infnet_objective", "lr": "infnet_lr", "max_steps": "infnet_steps", "seed": "seed",
    "train": "infnet_train",
}  # fmt: skip


def settings_of(args: argparse.Namespace, tagger: Tagger | None = None) -> Settings:
    """What the options say of the network; by default it has `plus` where the model reads characters.

    Raises:
        InputError: options do not go together.
    """
    asked = {name: value for name, option in OPTIONS.items() if (value := getattr(args, option)) is not None}
    asked["train"] = tuple(asked.get("train", ()))
    if "plus" not in asked and tagger is not None:
        asked["plus"] = any(isinstance(block, Characters) for block in tagger.lexicon.blocks)
    settings = Settings(**asked)
    for name in ("layers", "window", "feed"):
        if name in asked and name not in networks.SIZES[settings.network]:
            raise InputError(f"--infnet_{name} does not go with --infnet {settings.network}")
    if args.infnet_beam and settings.network != "seq2seq":
        raise InputError(f"--infnet_beam does not go with --infnet {settings.network}, which reads no labels")
    if args.infnet_beam and settings.feed == "soft":
        raise InputError("--infnet_beam does not go with --infnet_feed soft, which reads no labels")
    return settings


def check(args: argparse.Namespace) -> None:
    """Find out before anything is trained whether these options make sense.

    Raises:
        InputError: they do not go together, or a corpus is missing.
    """
    of_network = [option for option in (*OPTIONS.values(), "infnet_beam") if option != "seed"]
    idle = {} if args.decoder in LEARNED else given(args, *of_network)
    if args.decoder not in DESCENTS:
        idle.update(given(args, "iterations", "step"))
    if idle:
        names = ", ".join(spelled(name, value) for name, value in idle.items())
        warn(f"--decoder {args.decoder} does without; no effect of {names}")
    if args.decoder in LEARNED:
        settings_of(args)
        for name in args.infnet_train or ():
            find(name, "data")


def network_for(args: argparse.Namespace, tagger: Tagger, model: Path) -> tuple[Tagger, LocalTagger]:
    """The network, and the model whose energy it searches: the given one, or, of joint training, the one that came out.

    Args:
        tagger: the model, where it is to compute, in its file.

    Raises:
        InputError: something is wrong with what the user gave.
        Interrupted: Ctrl-C or SIGTERM came while training.
    """
    settings, mark = settings_of(args, tagger), networks.fingerprint(tagger)
    file = model.with_name(f"{model.name}.{settings.name}.infnet")
    learned = file.with_suffix(".model")  # of joint training
    joint = settings.objective == "joint"
    if file.exists() and (learned.exists() or not joint):
        network = networks.load(file, tagger, mark)
        if network is not None:
            say(args, f"inference network in {file}")
            return (load_learned(learned, tagger) if joint else tagger), network
        say(args, f"{file} was trained for another model: training it anew")
    for output in (file, *([learned] if joint else [])):
        require_writable_model(output)
    task, more = train(args, tagger, settings)
    if isinstance(task, Joint):
        task.learned.save(learned, **tagger.more)
        say(args, f"the energy that was trained with the network in {learned}")
        tagger = task.learned
    networks.save(task.network, file, mark, settings, **more)
    say(args, f"inference network in {file}")
    return tagger, task.network


def load_learned(file: Path, tagger: Tagger) -> Tagger:
    """The model of joint training, its words numbered as those of the one that it began as."""
    learned = Tagger.load(file)
    learned.lexicon.vocab = tagger.lexicon.vocab
    return learned.to(next(tagger.parameters()).device)


def train(
    args: argparse.Namespace, tagger: Tagger, settings: Settings
) -> tuple[amortizing.Amortization, dict[str, Any]]:
    """The trained network with its task, and what its file shall remember of the training."""
    training, dev, which = corpora(args, tagger)
    vocab, tagset = tagger.lexicon.vocab, tagger.tagset
    integerized = IntegerizedCorpus(training, vocab, tagset)
    watched = IntegerizedCorpus(dev, vocab, tagset)
    if settings.objective != "energy" and not (integerized.tags >= 0).any():
        raise InputError(f"--infnet_objective {settings.objective} needs gold tags to train on")
    if settings.objective == "joint" and (tagger.generative or tagger.trained_by != "gradient"):
        raise InputError(f"--infnet_objective joint does not go with a model of kind {tagger.kind}: no energy to train")
    what = f"{settings.network} inference network{'+' if settings.plus else ''}"
    say(args, f"training a {what} on {len(training):,} sentences; early stopping watches {which}")
    with stop_on_signals() as stop_requested:
        try:
            task, state = amortizing.train(
                lambda: make_task(tagger, settings), integerized, watched, settings,
                stop_requested=stop_requested, device=args.device, quiet=args.quiet,
            )  # fmt: skip
        except Interrupted:
            print("interrupted; the model is saved, the inference network is not", file=sys.stderr)
            raise
    return task, dict(train_seconds=state.seconds, epochs=state.epochs, dev=which, history=state.history)


def make_task(tagger: Tagger, settings: Settings) -> amortizing.Amortization:
    """A new network with what it is to learn."""

    def vectors():
        return [read_lexicon(find(VECTORS, "lexicons"))]

    try:
        network = networks.make_network(tagger, settings, vectors)
        if settings.objective == "joint":
            return Joint(network, networks.make_network(tagger, settings, vectors), tagger, settings)
    except ValueError as error:
        raise InputError(f"an inference network: {error}") from None
    kind = CostAugmented if settings.objective == "cost_augmented" else amortizing.Amortization
    return kind(network, tagger, settings)


def corpora(args: argparse.Namespace, tagger: Tagger) -> tuple[list[Sentence], list[Sentence], str]:
    """Training corpus, development corpus, and the name of the latter: by default those that the model file records.

    Raises:
        InputError: there are none.
    """
    recorded = [] if args.infnet_train else tagger.more.get("train") or []
    paths = [found for name in args.infnet_train or recorded if (found := found_or_none(name))]
    if len(paths) < len(recorded) or not paths:
        of_input = prefix(args.input)
        paths = [found] if of_input and (found := found_or_none(of_input + "sup")) else []
    if not paths:
        told = f"the model's training corpus {' '.join(recorded)} is not here" if recorded else "the model records none"
        raise InputError(f"no corpus to train an inference network on ({told}); say --infnet_train NAME")
    training = [sentence for path in paths for sentence in read_corpus(path)]
    of_training = prefix(paths[0].name)
    candidates = [args.dev, None if args.infnet_train else tagger.more.get("dev"), of_training and of_training + "dev"]
    which = next((name for name in candidates if name and found_or_none(name)), None)
    if which:
        dev = read_corpus(find(which, "data"))
    else:
        held_out = max(1, len(training) // 10)
        if held_out == len(training):
            raise InputError(f"{paths[0]}: one sentence is too little to train on and to watch; say --dev NAME")
        training, dev = training[:-held_out], training[-held_out:]
        which = "the last tenth of the training sentences, which are not trained on"
    if plan_of(tagger).get("states"):  # anonymous ones
        training, dev = without_tags(training), without_tags(dev)
    return training, dev, which


def found_or_none(name: str) -> Path | None:
    """The corpus of this name, if there is one."""
    try:
        return find(name, "data")
    except InputError:
        return None
