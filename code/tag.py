"""The command line: train a tagger or load one, tag a corpus, score the tagging. `python tag.py --help` teaches."""

from __future__ import annotations

import runtime  # noqa: F401  before torch

import argparse
import json
import math
import os
import sys
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
from decoders import LEARNED, Tagging, decoder, tag_corpus
from learn import load_or_train, plan_of, trains, without_tags
from learn_infnet import check, network_for
from options import parser
from outputs import output_files, require_writable, say, warn, write_more
from plan import find
from tagger import Tagger
from training import Interrupted
from word_features import look_up


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        run(args)
        print(end="", flush=True)
        return 0
    except (Interrupted, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # whoever read the output is gone; Python would complain when it closes it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError) as error:
        print(f"tag.py: error: {error}", file=sys.stderr)
        return 2


def run(args: argparse.Namespace) -> None:
    """Train or load, tag, write, score. Raises InputError for anything wrong with what the user gave."""
    prepare_machine(args)
    sentences = read_input(args)
    check(args)
    tagger, path = load_or_train(args, sentences)
    if plan_of(tagger).get("states"):  # anonymous ones, which no gold tag can be compared with
        sentences = without_tags(sentences)
    outputs = output_files(args, path)
    for file in (*outputs.values(), args.metrics):
        require_writable(file)

    tagger.to(args.device).eval()
    network = None
    if args.decoder in LEARNED:
        tagger, network = network_for(args, tagger, path)
    procedure = decoder(args.decoder, network, iterations=args.iterations, step=args.step, width=args.infnet_beam)
    corpus = IntegerizedCorpus(sentences, tagger.lexicon.vocab, tagger.tagset)
    tagging = tag_corpus(tagger, corpus, procedure, energies=args.metrics is not None)
    tagged = with_tags(tagger, sentences, tagging)
    if tagging.impossible:
        warn(
            f"{len(tagging.impossible)} sentences have no possible tagging under the model; they got each word's "
            "commonest tag"
        )

    report = score(args, tagger, corpus, sentences, tagged)
    report.update(mean_energies(tagging))
    report.update(
        model=tagger.kind, model_file=str(path), train=tagger.more.get("train"), dev=tagger.more.get("dev"),
        input=args.input, tag_tokens_per_second=corpus.tokens / tagging.seconds, network=network and network.more,
    )  # fmt: skip
    report.update(tagger.more.get("training", {}))
    text = describe(report, loaded=not trains(args))
    if args.metrics:
        with write_whole(args.metrics) as file:
            json.dump(finite(report), file, indent=2)
            file.write("\n")
    if "tagging" in outputs:
        write_corpus(outputs["tagging"], tagged)
        append(outputs["scores"], f"{datetime.now():%Y-%m-%d %H:%M:%S} {path} on {args.input}\n{text}\n\n")
    write_more(args, outputs, tagger, corpus)
    print(text, file=sys.stderr if args.input == "-" else sys.stdout)
    if args.verbose and report["accuracy"]["all"] is not None:
        gold = [sentence.tags for sentence in sentences]
        found = [sentence.tags for sentence in tagged]
        print(evaluation.format_confusion(evaluation.confusion(gold, found)), file=sys.stderr)
    say(args, ", ".join(f"{what} in {file}" for what, file in {**outputs, "model": path}.items()))
    if "tagging" not in outputs:
        sys.stdout.writelines(f"{sentence}\n" for sentence in tagged)


# Before


def prepare_machine(args: argparse.Namespace) -> None:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine, or this build of torch, has no CUDA device")
    if args.device == "mps" and not torch.backends.mps.is_available():
        raise InputError("--device mps: this machine, or this build of torch, has no MPS device")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.compile:
        try:
            import chain_compiled
        except ImportError:  # the students' package has no kernels
            problem = "this package has none"
        else:
            problem = chain_compiled.load()
        if problem:
            warn(f"--compile: no kernels compiled, the usual ones serve: {problem}")


def read_input(args: argparse.Namespace) -> list[Sentence]:
    if args.input == "-":
        data = sys.stdin.buffer.read() if sys.stdin else b""  # there is none where it is closed
        return parse_corpus(decode_lines(data, "standard input"), "standard input", args.untagged)
    return read_corpus(find(args.input, "data"), args.untagged)


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
        tokens=corpus.tokens, sentences=len(corpus),
        cross_entropy=None, conditional_cross_entropy=None, perplexity=None,
        accuracy=dict.fromkeys(("all", *evaluation.CATEGORIES)), f1=None, parameters=tagger.parameter_count(),
        decoder=args.decoder, **dict.fromkeys(("train_seconds", "train_tokens_per_second", "epochs", "seed")),
    )  # fmt: skip
    if corpus.unknown_tags:
        warn(
            f"{corpus.unknown_tags} tokens of {args.input} have a gold tag that is not in the training corpus: errors "
            "in the accuracy, left out of the cross-entropy"
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


def mean_energies(tagging: Tagging) -> dict[str, float | None]:
    """Means over the sentences with a possible tagging, in nats; None where not asked for, or where there are none."""
    found: dict[str, float | None] = dict.fromkeys(("energy", "viterbi_energy", "search_error", "relaxed_energy"))
    if tagging.energies is not None and len(tagging.impossible) < len(tagging.tags):
        e = tagging.energies
        parts = (e.found, e.viterbi, e.search_error, e.relaxed)
        found.update((name, float(part.nanmean())) for name, part in zip(found, parts) if part is not None)
    return found


def describe(report: dict[str, Any], loaded: bool = False) -> str:
    """The scores in a few lines for people. The training of a model that was only loaded is told as past."""
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
    if report["train_seconds"] is not None:
        name = "was trained in" if loaded else "training"
        lines.append(
            f"{name:<15}{report['train_seconds']:.1f} s, {report['epochs']} epochs, "
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
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


if __name__ == "__main__":
    if sys.stdout is not None:
        sys.stdout.reconfigure(encoding="utf-8")  # as corpora are, whatever the locale
    sys.exit(main())
