"""The command line: train a tagger or load one, tag a corpus, score the tagging. `python tag.py --help` teaches."""

from __future__ import annotations

import runtime  # noqa: F401  before torch

import argparse
import json
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import eval as evaluation
from corpus import (
    InputError,
    IntegerizedCorpus,
    Sentence,
    decode_lines,
    parse_corpus,
    read_corpus,
    write_corpus,
    write_whole,
)
from decoders import Tagging, decoder, tag_corpus
from integerize import Integerizer
from lexicon import Lexicon
from word_features import look_up
from word_vectors import read_lexicon
from options import Plan, find, make_plan, model_argument, parser, prefix
from tagger import Tagger, read_tensors, tagger_class
from training import Interrupted, Settings, State, Trainer

RESTARTS_BELOW = 20_000  # training tokens; a small corpus is soon trained on again, and needs it more
DEFAULT_RESTARTS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        return run(args)
    except InputError as error:
        print(f"tag.py: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def run(args: argparse.Namespace) -> int:
    """Train or load, tag, write, score. Raises InputError for anything wrong with what the user gave."""
    prepare_machine(args)
    sentences = read_input(args)
    tagger, state, path = load_or_train(args, sentences)
    if state is Interrupted:
        return 130
    outputs = output_files(args, path)
    for file in (*outputs.values(), args.metrics):
        require_writable(file)

    tagger.to(args.device).eval()
    corpus = IntegerizedCorpus(sentences, tagger.lexicon.vocab, tagger.tagset)
    tagging = tag_corpus(tagger, corpus, decoder(args.decoder))
    tagged = with_tags(tagger, sentences, tagging)
    if tagging.impossible:
        warn(
            f"{len(tagging.impossible)} sentences have no possible tagging under the model; they got each word's commonest tag"
        )

    report = score(args, tagger, corpus, sentences, tagged)
    report.update(
        model=tagger.kind, model_file=str(path), train=tagger.more.get("train"), dev=tagger.more.get("dev"),
        input=args.input, tag_tokens_per_second=corpus.tokens / tagging.seconds, **tagger.more.get("training", {}),
    )  # fmt: skip
    text = describe(report)
    print(text, file=sys.stderr if args.input == "-" else sys.stdout)
    if args.verbose and report["accuracy"]["all"] is not None:
        gold = [sentence.tags for sentence in sentences]
        found = [sentence.tags for sentence in tagged]
        print(evaluation.format_confusion(evaluation.confusion(gold, found)), file=sys.stderr)
    if args.metrics:
        with write_whole(args.metrics) as file:
            json.dump(finite(report), file, indent=2)
            file.write("\n")
    if outputs:
        write_corpus(outputs["output"], tagged)
        append(outputs["eval"], f"{datetime.now():%Y-%m-%d %H:%M:%S} {path} on {args.input}\n{text}\n\n")
        say(args, f"tagging in {outputs['output']}, scores in {outputs['eval']}, model in {path}")
    else:
        sys.stdout.writelines(f"{sentence}\n" for sentence in tagged)
    return 0


# Before


def prepare_machine(args: argparse.Namespace) -> None:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine, or this build of torch, has no CUDA device")
    if args.device == "mps" and not torch.backends.mps.is_available():
        raise InputError("--device mps: this machine, or this build of torch, has no MPS device")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.compile:
        import crf_neural_fast

        problem = crf_neural_fast.compile_kernels()
        if problem:
            warn(f"--compile: no kernels compiled, the usual ones serve: {problem}")


def read_input(args: argparse.Namespace) -> list[Sentence]:
    if args.input == "-":
        return parse_corpus(decode_lines(sys.stdin.buffer.read(), "standard input"), "standard input", args.untagged)
    return read_corpus(find(args.input, "data"), args.untagged)


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


# Training and loading


def load_or_train(args: argparse.Namespace, sentences: list[Sentence]) -> tuple[Tagger, Any, Path]:
    """The tagger, and the file it is in: loaded where --model is a file and there is nothing to train, else trained."""
    kind, file = model_argument(args)
    state = initial = None
    if args.checkpoint:
        header, _ = read_tensors(args.checkpoint)
        if "checkpoint" in header:
            state, more = State.load(args.checkpoint)
            plan = Plan.from_dict(more["plan"])
        else:
            initial = Tagger.load(args.checkpoint)
    if state is None:
        if kind is None and not args.train and not args.checkpoint:
            if file is None:
                raise InputError(
                    "say --model KIND to train a model, or --model FILE to load one (--help shows examples)"
                )
            return Tagger.load(file), None, Path(file)
        plan = make_plan(args, kind or (initial.kind if initial and not args.crf else None), file)
    elif kind not in (None, plan.kind):
        raise InputError(f"{args.checkpoint}: a checkpoint of a {plan.kind}, not of a {kind}")
    for output in (plan.save, args.metrics, *output_files(args, Path(plan.save)).values()):
        require_writable(output)

    training = [sentence for name in plan.train for sentence in read_corpus(find(name, "data"))]
    training, dev, which = split_dev(args, plan, training, sentences)
    say(args, f"early stopping watches {which}")
    tagset, lexicon = features(plan, training) if initial is None else (initial.tagset, initial.lexicon)
    integerized = IntegerizedCorpus(training, lexicon.vocab, tagset, training=True)
    if state is not None and more["tokens"] != integerized.tokens:
        raise InputError(
            f"{args.checkpoint}: its training corpus had {more['tokens']} tokens, now it has {integerized.tokens}"
        )

    def make_tagger() -> Tagger:
        if initial is not None:
            return initial
        return tagger_class(plan.kind)(tagset, lexicon, **plan.sizes)

    settings = dict(plan.settings)
    small = integerized.tokens < RESTARTS_BELOW and initial is None and tagger_class(plan.kind).trained_by == "gradient"
    settings.setdefault("restarts", DEFAULT_RESTARTS if small else 0)
    trainer = Trainer(
        make_tagger, integerized, IntegerizedCorpus(dev, lexicon.vocab, tagset), Settings(**settings),
        state, stop_on_signals(), args.device, args.quiet,
    )  # fmt: skip
    try:
        tagger = trainer.run()
    except Interrupted:
        checkpoint = f"{plan.save}.checkpoint"
        trainer.state.save(checkpoint, plan=plan.to_dict(), tokens=integerized.tokens)
        print(
            f"interrupted after {trainer.state.sentences:,} sentences; --checkpoint {checkpoint} goes on",
            file=sys.stderr,
        )
        return None, Interrupted, Path(plan.save)
    tagger.more = remembered(plan, which, trainer.state, training, tagger)
    tagger.save(plan.save, **tagger.more)
    return tagger, trainer.state, Path(plan.save)


def stop_on_signals():
    """A function that tells whether Ctrl-C or SIGTERM came; a second one ends the program at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGINT, receive)
    signal.signal(signal.SIGTERM, receive)
    return lambda: bool(received)


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
            return training, read_corpus(find(of_input + "dev", "data")), of_input + "dev"
        except InputError:
            pass
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


def remembered(plan: Plan, dev: str, state: State, training: list[Sentence], tagger: Tagger) -> dict[str, Any]:
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


# After


def with_tags(tagger: Tagger, sentences: list[Sentence], tagging: Tagging) -> list[Sentence]:
    """The sentences with the tags that were found; commonest tags where none are possible."""
    names = list(tagger.tagset)
    tagged = [
        Sentence(sentence.words, tuple(names[tag] for tag in tags)) for sentence, tags in zip(sentences, tagging.tags)
    ]
    by_word, fallback = tagger.more.get("commonest_tags", {}), tagger.more.get("commonest_tag", names[0])
    for number in tagging.impossible:
        words = sentences[number].words
        tagged[number] = Sentence(words, tuple(look_up(word, by_word) or fallback for word in words))
    return tagged


def score(
    args: argparse.Namespace, tagger: Tagger, corpus: IntegerizedCorpus, gold: list[Sentence], tagged: list[Sentence]
) -> dict[str, Any]:
    """Everything measured; None where INPUT has no tags to measure by."""
    report: dict[str, Any] = dict(
        tokens=corpus.tokens, sentences=len(corpus), cross_entropy=None, conditional_cross_entropy=None, perplexity=None,
        accuracy=dict.fromkeys(("all", *evaluation.CATEGORIES)), f1=None, parameters=tagger.parameter_count(),
        decoder=args.decoder,
    )  # fmt: skip
    if corpus.unknown_tags:
        warn(
            f"{corpus.unknown_tags} tokens of {args.input} have a gold tag that is not in the training corpus: errors in "
            "the accuracy, left out of the cross-entropy"
        )
    has_tags = bool(corpus.tagged.any())
    if has_tags or tagger.generative:
        entropy = evaluation.cross_entropy(tagger, corpus)
        report.update(cross_entropy=entropy.joint, perplexity=entropy.perplexity)
        if has_tags:
            report.update(conditional_cross_entropy=entropy.conditional)
    if has_tags:
        gold_tags, found = [s.tags for s in gold], [s.tags for s in tagged]
        category = {word: tagger.lexicon.category(word) for sentence in gold for word in sentence.words}
        by_category = evaluation.accuracy(
            gold_tags, found, [[category[word] for word in s.words] for s in gold], evaluation.STAR in tagger.tagset
        )
        report["accuracy"] = {name: value.fraction for name, value in by_category.items()}
        report["counts"] = {name: value.total for name, value in by_category.items()}
        if evaluation.is_span_task(set(tagger.tagset) | {tag for tags in gold_tags for tag in tags if tag is not None}):
            report["f1"] = evaluation.span_f1(gold_tags, found)[0].f1
    return report


def describe(report: dict[str, Any]) -> str:
    """The scores in a few lines for people."""
    lines = []
    if report["cross_entropy"] is not None:
        lines.append(
            f"cross-entropy  {report['cross_entropy']:.4f} nats a token (perplexity {report['perplexity']:.3f})"
        )
    if report["accuracy"]["all"] is not None:
        parts = [
            f"{name} {value:.2%}" if value is not None else f"{name} -" for name, value in report["accuracy"].items()
        ]
        lines.append("accuracy       " + "  ".join(parts))
    if report["f1"] is not None:
        lines.append(f"span F1        {report['f1']:.2%}")
    if "train_seconds" in report:
        lines.append(
            f"training       {report['train_seconds']:.1f} s, {report['epochs']} epochs, "
            f"{report['train_tokens_per_second']:,.0f} tokens/s"
        )
    lines.append(f"tagging        {report['tokens']:,} tokens, {report['tag_tokens_per_second']:,.0f} tokens/s")
    return "\n".join(lines)


def finite(value: Any) -> Any:
    """The value with null in place of what JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def say(args: argparse.Namespace, message: str) -> None:
    if not args.quiet:
        print(message, file=sys.stderr)


def warn(message: str) -> None:
    print(f"tag.py: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
