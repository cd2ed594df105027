"""From the options of tag.py to a tagger: load one, train one, or go on with an interrupted training."""

from __future__ import annotations

import argparse
import hashlib
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus import InputError, IntegerizedCorpus, Sentence, read_corpus
from decoders import LEARNED
from defaults import FEATURES, STATIONARY
from integerize import Integerizer
from lexicon import Lexicon
from outputs import output_files, require_writable, require_writable_model, say, warn
from plan import Plan, choose_kind, find, make_plan, model_argument, never_read, prefix, without_effect
from recipe import Group, parameter_groups
from tagger import Tagger, read_tensors, tagger_class
from training import Interrupted, Settings, State, Trainer
from word_features import Pretrained, Problex
from word_vectors import read_lexicon

RESTARTS_BELOW = 20_000  # training tokens; a small corpus is soon trained on again, and needs it more
DEFAULT_RESTARTS = 4


def trains(args: argparse.Namespace) -> bool:
    """Whether the options ask for a training; else --model is a file to load."""
    return bool(model_argument(args)[0] or args.train or args.checkpoint)


def load_or_train(args: argparse.Namespace, sentences: list[Sentence]) -> tuple[Tagger, Path]:
    """The tagger, and the file it is in: loaded where --model is a file and there is nothing to train, else trained.

    Raises:
        InputError: something is wrong with what the user gave.
        Interrupted: Ctrl-C or SIGTERM came while training; there is a checkpoint.
    """
    kind, file = model_argument(args)
    if not trains(args):
        if file is None:
            raise InputError("say --model KIND to train a model, or --model FILE to load one (--help shows examples)")
        tagger = Tagger.load(file)
        require_generative(args, type(tagger))
        of_network = ["dev"] if args.decoder in LEARNED else []  # it may have an effect there
        settled(args, f"{file} is loaded, not trained", plan_of(tagger), but=["seed", *of_network])
        return tagger, Path(file)
    job = begin(args, kind, file)
    if job.state is None and (names := never_read(args, job.plan)):
        by = tagger_class(job.plan.kind).trained_by
        warn(f"a model of kind {job.plan.kind} is trained by {by}; no effect of {', '.join(names)}")
    require_generative(args, tagger_class(job.plan.kind))
    require_writable_model(job.plan.save)
    for output in (args.metrics, *output_files(args, Path(job.plan.save)).values()):
        require_writable(output)
    return train(args, job, sentences), Path(job.plan.save)


def require_generative(args: argparse.Namespace, model: type[Tagger]) -> None:
    """Raise InputError where --generate asks for sentences of a model that cannot draw any."""
    if args.generate and not model.generative:
        raise InputError(f"--generate does not go with a model of kind {model.kind}, which takes the words as given")


def plan_of(tagger: Tagger) -> dict[str, Any]:
    """How the model was trained, as far as its file tells."""
    plan = tagger.more.get("plan")
    told = isinstance(plan, dict) and all(isinstance(plan.get(part), dict) for part in ("sizes", "settings"))
    return plan if told else {}


def settled(args: argparse.Namespace, why: str, done: Mapping[str, Any], but: Collection[str] = ()) -> None:
    """Warn of options that were given and can have no effect any more."""
    if names := without_effect(args, done, but):
        warn(f"{why}; no effect of {', '.join(names)}")


@dataclass(frozen=True)
class Job:
    """A training to begin or to go on with.

    Attributes:
        initial: the model whose weights it begins with, if not with new ones.
        state, trained_on: where an interrupted training stood, and the fingerprint of its corpora.
    """

    plan: Plan
    initial: Tagger | None = None
    state: State | None = None
    trained_on: str | None = None


def begin(args: argparse.Namespace, kind: str | None, file: str | None) -> Job:
    """What the options ask for; --checkpoint is a model to start from, or an interrupted training."""
    if not args.checkpoint:
        return Job(make_plan(args, kind, file))
    header, _ = read_tensors(args.checkpoint)
    return resume(args, kind) if "checkpoint" in header else start(args, kind, file)


def resume(args: argparse.Namespace, kind: str | None) -> Job:
    """Go on with an interrupted training, as it was begun."""
    state, plan, trained_on = load_checkpoint(args.checkpoint)
    chosen, _ = choose_kind(args, kind, plan.kind)
    if chosen != plan.kind:
        raise InputError(f"{args.checkpoint}: a checkpoint of a {plan.kind}, not of a {chosen}")
    settled(args, f"{args.checkpoint} goes on as it was begun", plan.to_dict())
    initial = Tagger.load(plan.start) if plan.start else None
    if initial is not None and plan.finetune:
        tune_vectors(initial)
    return Job(replace(plan, save=args.save or plan.save), initial, state, trained_on)


def start(args: argparse.Namespace, kind: str | None, file: str | None) -> Job:
    """Train on from the weights of a model, which keeps its words, tags, features and sizes."""
    initial = Tagger.load(args.checkpoint)
    if any(isinstance(block, Problex) for block in initial.lexicon.blocks):
        raise InputError(
            f"{args.checkpoint}: a model with --problex cannot be trained on: it has lost its text's tenths"
        )
    before = {**plan_of(initial), **initial.sizes, "kind": initial.kind}
    plan = make_plan(args, kind, file, before)
    if initial.kind != plan.kind:
        raise InputError(f"{args.checkpoint}: a model of kind {initial.kind}, not {plan.kind}")
    kept = {name: before[name] for name in (*FEATURES, "states") if name in before}
    plan = replace(plan, sizes=initial.sizes, **{**kept, "finetune": plan.finetune})
    settled(args, f"{args.checkpoint} keeps its words, tags and sizes", plan.to_dict())
    if plan.finetune:
        tune_vectors(initial)
    return Job(plan, initial)


def tune_vectors(tagger: Tagger) -> None:
    """Let the pretrained vectors of a trained model change from now on (H.1)."""
    for block in tagger.lexicon.blocks:
        if isinstance(block, Pretrained) and block.delta is None:
            block.delta = nn.Parameter(torch.zeros_like(block.matrix))


def train(args: argparse.Namespace, job: Job, sentences: list[Sentence]) -> Tagger:
    """The trained and saved tagger. Raises as `load_or_train`."""
    plan, initial = job.plan, job.initial
    training = [sentence for name in plan.train for sentence in read_corpus(find(name, "data"))]
    training, dev, which = split_dev(args, plan, training, sentences)
    if plan.states:
        training, dev = without_tags(training), without_tags(dev)
    tagset, lexicon = features(plan, training) if initial is None else (initial.tagset, initial.lexicon)
    integerized = IntegerizedCorpus(training, lexicon.vocab, tagset, training=True)
    watched = IntegerizedCorpus(dev, lexicon.vocab, tagset)
    corpora = fingerprint(training, dev)
    if job.trained_on not in (None, corpora):
        raise InputError(f"{args.checkpoint}: {' '.join(plan.train)} or {which} is not what it was trained with")

    model = tagger_class(plan.kind)
    convex = plan.kind in STATIONARY and not (plan.sizes.get("tag_rank") or plan.characters)  # one start, one end
    again = model.trained_by == "gradient" and not (initial or plan.init or convex)
    small = integerized.tokens < RESTARTS_BELOW and again
    settings = Settings(**{"restarts": DEFAULT_RESTARTS if small else 0, **plan.settings})
    if (settings.loss == "viterbi_error" or not model.generative) and not (watched.tags >= 0).any():
        raise InputError(f"{which}: no tag in it that was seen in training, so nothing to watch; say --dev NAME")
    hmm = None
    if plan.init or (model.trained_by == "counts" and initial is None and partly_tagged(training)):
        hmm = count_hmm(plan, training, watched, tagset, lexicon, settings)

    def make_tagger() -> Tagger:
        if initial is not None:
            return initial
        try:
            tagger = model(tagset, lexicon.fresh(), **plan.sizes)
            if hmm is not None:
                tagger.start_from(hmm)
        except ValueError as error:
            raise InputError(f"a model of kind {plan.kind}: {error}") from None
        return tagger

    parameter_groups(make_tagger(), settings.recipe, settings.lr)  # what does not go together says so now
    say(args, f"early stopping watches {which}")
    with stop_on_signals() as stop_requested:
        trainer = Trainer(
            make_tagger, integerized, watched, settings, job.state, stop_requested, args.device, args.quiet
        )
        try:
            tagger = trainer.run()
        except Interrupted:
            checkpoint = f"{plan.save}.checkpoint"
            trainer.state.save(checkpoint, plan=plan.to_dict(), trained_on=corpora)
            done = f"interrupted after {trainer.state.sentences:,} sentences"
            print(f"{done}; --checkpoint {checkpoint} goes on", file=sys.stderr)
            raise
    tagger.more = remembered(plan, which, trainer.state, training)
    tagger.save(plan.save, **tagger.more)
    return tagger


def count_hmm(
    plan: Plan, training: list[Sentence], watched: IntegerizedCorpus, tagset: Integerizer, lexicon: Lexicon,
    settings: Settings,
) -> Tagger:  # fmt: skip
    """The HMM that --init hmm and EM begin with: smoothed counts of the sentences that are tagged throughout."""
    tagged = [sentence for sentence in training if None not in sentence.tags]
    if not tagged:
        raise InputError(f"{' '.join(plan.train)}: --init hmm: no sentence in it that is tagged throughout")
    corpus = IntegerizedCorpus(tagged, lexicon.vocab, tagset, training=True)
    hmm = tagger_class("hmm")(tagset, lexicon, unigram=plan.sizes.get("unigram", False))
    return Trainer(
        lambda: hmm, corpus, watched, Settings(smoothing=settings.smoothing or Settings.smoothing), quiet=True
    ).run()


def partly_tagged(training: Sequence[Sentence]) -> bool:
    """Whether EM has something to learn, and tags to begin with: it starts from noise where there are none."""
    whole = sum(None not in sentence.tags for sentence in training)
    return 0 < whole < len(training)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether Ctrl-C or SIGTERM came; a second one ends the program at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_checkpoint(path: str) -> tuple[State, Plan, str]:
    """Where an interrupted training stood, what was planned, and the fingerprint of its corpora. Raises InputError."""
    state, more = State.load(path)
    try:
        plan = Plan.from_dict(more["plan"])
        tagger_class(plan.kind), [Group(**group) for group in Settings(**plan.settings).recipe]
        return state, plan, more["trained_on"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a checkpoint that this tag.py can go on with: {error}") from None


def fingerprint(*corpora: list[Sentence]) -> str:
    """A hash that tells these corpora from others."""
    return hashlib.sha256("\n\n".join("\n".join(map(str, corpus)) for corpus in corpora).encode()).hexdigest()


def without_tags(sentences: Sequence[Sentence], tag: str | None = None) -> list[Sentence]:
    """The sentences untagged, or with this tag everywhere."""
    return [Sentence(sentence.words, (tag,) * len(sentence)) for sentence in sentences]


def split_dev(
    args: argparse.Namespace, plan: Plan, training: list[Sentence], sentences: list[Sentence]
) -> tuple[list[Sentence], list[Sentence], str]:
    """The training corpus, the development corpus, and the name of the latter."""
    if plan.dev:
        return training, read_corpus(find(plan.dev, "data")), plan.dev
    usable = plan.states or any(tag is not None for sentence in sentences for tag in sentence.tags)
    if Path(args.input).name.endswith("dev") and usable:
        return training, sentences, args.input
    of_input = prefix(args.input)
    if of_input:
        try:
            of_prefix = find(of_input + "dev", "data")
        except InputError:
            pass
        else:
            return training, read_corpus(of_prefix), of_input + "dev"
    held_out = max(1, len(training) // 10)
    if held_out == len(training):
        raise InputError(f"{' '.join(plan.train)}: one sentence is too little to train on and to watch; say --dev NAME")
    return (
        training[:-held_out],
        training[-held_out:],
        "the last tenth of the training sentences, which are not trained on",
    )


def features(plan: Plan, training: list[Sentence]) -> tuple[Integerizer, Lexicon]:
    """The tagset and the word features that a training corpus gives. Anonymous states know all of its words."""
    tagset = Integerizer(sorted({tag for sentence in training for tag in sentence.tags if tag is not None}))
    if plan.states:
        tagset = Integerizer(f"s{number}" for number in range(plan.states))
        training = without_tags(training, "s0")
    if not len(tagset):
        raise InputError(f"{' '.join(plan.train)}: no tagged token to train on")
    vectors = [read_lexicon(find(name, "lexicons")) for name in plan.lexicon]
    return tagset, Lexicon.from_corpus(
        training, vectors, plan.one_hot, tag_frequencies=plan.problex, word_shapes=plan.affixes,
        characters=plan.characters, finetune=plan.finetune,
    )  # fmt: skip


def remembered(plan: Plan, dev: str, state: State, training: list[Sentence]) -> dict[str, Any]:
    """What the model file holds beside the model: where it comes from, and tags for words of impossible sentences."""
    tags = Counter(tag for sentence in training for tag in sentence.tags if tag is not None)
    by_word: dict[str, Counter[str]] = {}
    for sentence in training:
        for word, tag in zip(sentence.words, sentence.tags):
            if tag is not None:
                by_word.setdefault(word, Counter())[tag] += 1
    return dict(
        train=plan.train,
        dev=dev,
        plan={name: value for name, value in plan.to_dict().items() if name not in ("save", "start")},
        commonest_tag=tags.most_common(1)[0][0] if tags else "s0",
        commonest_tags={word: counts.most_common(1)[0][0] for word, counts in by_word.items()},
        training=dict(
            train_seconds=state.seconds,
            train_tokens_per_second=state.tokens / max(state.step_seconds, 1e-9),
            epochs=state.epochs,
            seed=plan.settings.get("seed", 0),
            history=state.history,
        ),
    )
