"""What tag.py writes beside the tagging, and where: names of files, whether they can be written, the most probable
taggings (--kbest), sampled ones (--samples) and generated sentences (--generate).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chain import LinearChain
from corpus import InputError, IntegerizedCorpus, Sentence, write_corpus, write_whole
from tagger import Tagger

LARGEST_STEP = 2**25  # numbers in the largest tensor of a dynamic program, sentences x taggings x k x k

# From a chain, taggings [B, R, n] (-1 where there is none) and their log-probabilities [B, R].
Chooser = Callable[[LinearChain], tuple[Int[Tensor, "B R n"], Float[Tensor, "B R"]]]


def output_files(args: argparse.Namespace, model: Path) -> dict[str, Path]:
    """The files by what they hold. Of standard input no tagging and no scores, unless options say where to."""
    stem = model.with_suffix("") if model.suffix else model
    default = f"{stem}_{Path(args.input).stem if args.input != '-' else 'stdin'}"
    files: dict[str, Path] = {}
    if args.input != "-" or args.output_file:
        files["tagging"] = Path(args.output_file or default + ".output")
        files["scores"] = Path(args.eval_file or default + ".eval")
    if args.kbest:
        files["kbest"] = Path(default + ".kbest")
    if args.samples:
        files["samples"] = Path(default + ".samples")
    if args.generate:
        files["generated"] = Path(f"{stem}.generated")
    return files


def write_more(args: argparse.Namespace, files: dict[str, Path], tagger: Tagger, corpus: IntegerizedCorpus) -> None:
    """Write what --kbest, --samples and --generate ask for; each file whole or not at all."""
    if "kbest" in files:
        write_taggings(files["kbest"], tagger, corpus, args.kbest, lambda chain: best(chain, args.kbest))
    seed = args.seed or 0
    if "samples" in files:
        generator = torch.Generator(args.device).manual_seed(seed)
        write_taggings(
            files["samples"], tagger, corpus, args.samples, lambda chain: drawn(chain, args.samples, generator)
        )
    if "generated" in files:
        write_corpus(files["generated"], tagger.generate(args.generate, torch.Generator().manual_seed(seed)))


def best(chain: LinearChain, K: int) -> tuple[Int[Tensor, "B K n"], Float[Tensor, "B K"]]:
    """The K most probable taggings."""
    found = chain.kbest(K)
    return found.tags, found.scores - chain.log_partition[:, None]


def drawn(chain: LinearChain, S: int, generator: torch.Generator) -> tuple[Int[Tensor, "B S n"], Float[Tensor, "B S"]]:
    """S taggings sampled from p(tags | words)."""
    tags = chain.sample(S, generator)
    return tags, torch.stack([chain.log_prob(tagging) for tagging in tags.unbind(1)], dim=1)


@torch.no_grad()
def write_taggings(path: Path, tagger: Tagger, corpus: IntegerizedCorpus, R: int, choose: Chooser) -> None:
    """Write several taggings of each sentence: number of the sentence, rank (both from 1), log p(tags | words) in
    nats, and the tagged sentence, with tabs between. A sentence without a possible tagging has none.

    Args:
        R: at most so many of each.
    """
    device, names = next(tagger.parameters()).device, list(tagger.tagset)
    taggings: list[list[tuple[float, list[int]]]] = [[] for _ in range(len(corpus))]
    for sentences in corpus.by_length(max(1, min(64, LARGEST_STEP // (R * len(names) ** 2)))):
        chain = tagger(corpus.batch(sentences).to(device))
        possible = chain.log_partition.cpu() > -torch.inf
        if not possible.all():
            sentences = sentences[possible]
            if not len(sentences):
                continue
            chain = tagger(corpus.batch(sentences).to(device))
        tags, log_probs = (chosen.tolist() for chosen in choose(chain))
        for number, of_sentence, values in zip(sentences.tolist(), tags, log_probs):
            length = len(corpus.sentences[number])
            taggings[number] = [(p, row[:length]) for row, p in zip(of_sentence, values) if row[0] >= 0]
    with write_whole(path) as file:
        for number, (sentence, of_sentence) in enumerate(zip(corpus.sentences, taggings), start=1):
            for rank, (log_prob, tags) in enumerate(of_sentence, start=1):
                tagged = Sentence(sentence.words, tuple(names[tag] for tag in tags))
                file.write(f"{number}\t{rank}\t{log_prob:.6f}\t{tagged}\n")


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
    """Tell the user, unless quiet was asked for."""
    if not args.quiet:
        print(message, file=sys.stderr)


def warn(message: str) -> None:
    """Tell the user in any case."""
    print(f"tag.py: warning: {message}", file=sys.stderr)
