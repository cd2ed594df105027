"""From the options of tag.py to a tagger: load one, train one, or go on with an interrupted training."""

from __future__ import annotations

import argparse
import copy
import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus import InputError, IntegerizedCorpus, Sentence, read_corpus
from integerize import Integerizer
from lexicon import Lexicon
from options import Plan, find, make_plan, model_argument, prefix
from tagger import Tagger, read_tensors, tagger_class
from training import Interrupted, Settings, State, Trainer
from word_features import Problex
from word_vectors import read_lexicon

RESTARTS_BELOW = 20_000  # training tokens; a small corpus is soon trained on again, and needs it more
DEFAULT_RESTARTS = 4


def load_or_train(args: argparse.Namespace, sentences: list[Sentence]) -> tuple[Tagger, Path]:
    """The tagger, and the file it is in: loaded where --model is a file and there is nothing to train, else trained.

    Raises:
        InputError: something is wrong with what the user gave.
        Interrupted: Ctrl-C or SIGTERM came while training; there is a checkpoint.
    """
    kind, file = model_argument(args)
    if not (kind or args.train or args.checkpoint):
        if file is None:
            raise InputError("say --model KIND to train a model, or --model FILE to load one (--help shows examples)")
        return Tagger.load(file), Path(file)
    job = begin(args, kind, file)
    require_writable_model(job.plan.save)
    for output in (args.metrics, *output_files(args, Path(job.plan.save)).values()):
        require_writable(output)
    return train(args, job, sentences), Path(job.plan.save)


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
    if "checkpoint" in header:
        state, plan, trained_on = load_checkpoint(args.checkpoint)
        if kind not in (None, plan.kind):
            raise InputError(f"{args.checkpoint}: a checkpoint of a {plan.kind}, not of a {kind}")
        initial = Tagger.load(plan.start) if plan.start else None
        return Job(replace(plan, save=args.save or plan.save), initial, state, trained_on)
    initial = Tagger.load(args.checkpoint)
    plan = make_plan(args, kind or (None if args.crf else initial.kind), file)
    if initial.kind != plan.kind:
        raise InputError(f"{args.checkpoint}: a model of kind {initial.kind}, not {plan.kind}")
    if any(isinstance(block, Problex) for block in initial.lexicon.blocks):
        raise InputError(
            f"{args.checkpoint}: a model with --problex cannot be trained on: it has lost its text's tenths"
        )
    return Job(plan, initial)


def train(args: argparse.Namespace, job: Job, sentences: list[Sentence]) -> Tagger:
    """The trained and saved tagger. Raises as `load_or_train`."""
    plan, initial = job.plan, job.initial
    training = [sentence for name in plan.train for sentence in read_corpus(find(name, "data"))]
    training, dev, which = split_dev(args, plan, training, sentences)
    tagset, lexicon = features(plan, training) if initial is None else (initial.tagset, initial.lexicon)
    integerized = IntegerizedCorpus(training, lexicon.vocab, tagset, training=True)
    watched = IntegerizedCorpus(dev, lexicon.vocab, tagset)
    corpora = fingerprint(training, dev)
    if job.trained_on not in (None, corpora):
        raise InputError(f"{args.checkpoint}: {' '.join(plan.train)} or {which} is not what it was trained with")

    model = tagger_class(plan.kind)
    small = integerized.tokens < RESTARTS_BELOW and initial is None and model.trained_by == "gradient"
    settings = Settings(**{"restarts": DEFAULT_RESTARTS if small else 0, **plan.settings})
    if (settings.loss == "viterbi_error" or not model.generative) and not (watched.tags >= 0).any():
        raise InputError(f"{which}: no tag in it that was seen in training, so nothing to watch; say --dev NAME")
    say(args, f"early stopping watches {which}")
    with stop_on_signals() as stop_requested:
        trainer = Trainer(
            lambda: initial or model(tagset, copy.deepcopy(lexicon), **plan.sizes), integerized, watched, settings,
            job.state, stop_requested, args.device, args.quiet,
        )  # fmt: skip
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
        tagger_class(plan.kind), Settings(**plan.settings)
        return state, plan, more["trained_on"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a checkpoint that this tag.py can go on with: {error}") from None


def fingerprint(*corpora: list[Sentence]) -> str:
    """A hash that tells these corpora from others."""
    return hashlib.sha256("\n\n".join("\n".join(map(str, corpus)) for corpus in corpora).encode()).hexdigest()


def split_dev(
    args: argparse.Namespace, plan: Plan, training: list[Sentence], sentences: list[Sentence]
) -> tuple[list[Sentence], list[Sentence], str]:
    """The training corpus, the development corpus, and the name of the latter."""
    if plan.dev:
        return training, read_corpus(find(plan.dev, "data")), plan.dev
    if Path(args.input).name.endswith("dev") and any(tag is not None for s in sentences for tag in s.tags):
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
    """The tagset and the word features that a training corpus gives."""
    tagset = Integerizer(sorted({tag for sentence in training for tag in sentence.tags if tag is not None}))
    if not len(tagset):
        raise InputError(f"{' '.join(plan.train)}: no tagged token to train on")
    vectors = [read_lexicon(find(name, "lexicons")) for name in plan.lexicon]
    return tagset, Lexicon.from_corpus(
        training, vectors, plan.one_hot, tag_frequencies=plan.problex, word_shapes=plan.affixes
    )


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
        commonest_tag=tags.most_common(1)[0][0],
        commonest_tags={word: counts.most_common(1)[0][0] for word, counts in by_word.items()},
        training=dict(
            train_seconds=state.seconds,
            train_tokens_per_second=state.tokens / max(state.step_seconds, 1e-9),
            epochs=state.epochs,
            seed=plan.settings.get("seed", 0),
            history=state.history,
        ),
    )


def output_files(args: argparse.Namespace, model: Path) -> dict[str, Path]:
    """Where the tagging and the scores go; nowhere for standard input, unless options say so."""
    if args.input == "-" and not args.output_file:
        return {}
    stem = model.with_suffix("") if model.suffix else model
    default = f"{stem}_{Path(args.input).stem if args.input != '-' else 'stdin'}"
    return {
        "output": Path(args.output_file or default + ".output"),
        "eval": Path(args.eval_file or default + ".eval"),
    }


def require_writable(file: str | Path | None) -> None:
    """Find out now, not after an hour of training. Raises InputError."""
    if file is None:
        return
    folder = Path(file).parent
    if Path(file).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{file}: cannot be written")


def require_writable_model(file: str | Path) -> None:
    """The same of a model file, which would take the place of a device or pipe."""
    require_writable(file)
    if Path(file).exists() and not Path(file).is_file():
        raise InputError(f"{file}: no model can be written to a device or pipe")


def say(args: argparse.Namespace, message: str) -> None:
    if not args.quiet:
        print(message, file=sys.stderr)
