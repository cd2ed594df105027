"""Train the word-embedding lexicons that the course ships, with gensim's word2vec, from a file of running text.

    python lexicons/train.py TEXT [--work DIR] [--out DIR] [--rows N] [--only NAME ...]

TEXT is plain text, one paragraph a line (optionally .xz). The steps, each kept in --work and skipped when it is there:

1. sentences and tokens in the style of the Penn Treebank (penn.py), each sentence wrapped in BOS and EOS;
2. the --rows most frequent words are the vocabulary; every other word becomes OOL, so that the vector of
   out-of-lexicon words is trained like any other;
3. word2vec by gensim's corpus_file reader, for each lexicon below;
4. the lexicon file: `rows dims`, then `word<TAB>v1<TAB>...` by falling frequency, with the other spellings of brackets
   and quotes as copies of the Penn ones. Vectors are scaled so that the mean square of an entry is 1.

Only TEXT decides which words get a row. With more than one worker, training is not bit for bit repeatable.
"""

from __future__ import annotations

import argparse
import lzma
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

import penn

# CBOW with a window of 5 is the classical choice, and more semantic than syntactic; a skip-gram that sees only the
# words next door learns which words can stand in each other's place, which is closer to what a tagger asks.
LEXICONS = {
    "words-50": dict(sg=0, vector_size=50, window=5, alpha=0.05, epochs=12),
    "syntax-50": dict(sg=1, vector_size=50, window=1, alpha=0.025, epochs=5),
    "words-20": dict(sg=0, vector_size=20, window=5, alpha=0.05, epochs=4),
    "words-10": dict(sg=0, vector_size=10, window=5, alpha=0.05, epochs=4),
}
COPIES = {
    "(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-",
    "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "-LRB-": "(", "-RRB-": ")",
    '"': "''", "“": "``", "”": "''", "‘": "`", "’": "'", "`": "'", "``": '"', "''": '"',
    "—": "--", "–": "--", "…": "...",
}  # fmt: skip


def open_text(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        yield from file


def tokenize_paragraphs(paragraphs: list[str]) -> list[str]:
    return [
        " ".join(["BOS", *words, "EOS"])
        for paragraph in paragraphs
        for sentence in penn.sentences(paragraph)
        if (words := penn.tokens(sentence))
    ]


def chunks(lines: Iterable[str], size: int = 2000) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    yield chunk


def write_tokens(text: Path, out: Path, workers: int) -> None:
    """Step 1. One sentence a line."""
    partial = out.with_suffix(".partial")
    with multiprocessing.Pool(workers) as pool, partial.open("w", encoding="utf-8") as file:
        for lines in tqdm(pool.imap(tokenize_paragraphs, chunks(open_text(text))), desc="tokenize", unit=" chunks"):
            file.writelines(line + "\n" for line in lines)
    os.replace(partial, out)


def write_with_vocabulary(tokens: Path, out: Path, rows: int) -> None:
    """Step 2. Words outside the `rows` most frequent become OOL (ties in frequency by spelling)."""
    counts: Counter[str] = Counter()
    with tokens.open(encoding="utf-8") as file:
        for line in tqdm(file, desc="count", unit=" sentences"):
            counts.update(line.split())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: word for word in ranked[:rows]}
    covered = sum(counts[word] for word in vocabulary)
    print(
        f"{counts.total():,} tokens (with BOS, EOS), {len(counts):,} types; "
        f"{rows:,} rows cover {covered / counts.total():.2%}"
    )
    partial = out.with_suffix(".partial")
    with tokens.open(encoding="utf-8") as source, partial.open("w", encoding="utf-8") as file:
        for line in tqdm(source, desc="map to OOL", unit=" sentences"):
            file.write(" ".join([vocabulary.get(word, "OOL") for word in line.split()]) + "\n")
    os.replace(partial, out)


def train(sentences: Path, name: str, workers: int, seed: int):
    """Step 3. The trained gensim KeyedVectors, by falling frequency."""
    from gensim.models import Word2Vec
    from gensim.models.callbacks import CallbackAny2Vec

    settings = LEXICONS[name]

    class Progress(CallbackAny2Vec):
        def __init__(self) -> None:
            self.bar = tqdm(total=settings["epochs"], desc=name, unit=" epochs")

        def on_epoch_end(self, model) -> None:
            self.bar.update()

    model = Word2Vec(
        corpus_file=str(sentences), min_count=1, workers=workers, seed=seed,
        negative=10, sample=1e-4, callbacks=[Progress()], **settings,
    )  # fmt: skip
    return model.wv


def write_lexicon(vectors, path: Path) -> None:
    """Step 4. Text in the lexicon format, three decimals."""
    matrix = vectors.vectors / np.sqrt(np.mean(np.square(vectors.vectors)))
    rows = dict(zip(vectors.index_to_key, matrix))
    with_copies: dict[str, np.ndarray] = {}
    for word, vector in rows.items():
        with_copies[word] = vector
        for copy, original in COPIES.items():
            if original == word and copy not in rows:
                with_copies.setdefault(copy, vector)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(with_copies)} {matrix.shape[1]}\n")
        for word, vector in with_copies.items():
            file.write("\t".join([word, *(f"{value:.3f}" for value in vector)]) + "\n")
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="running text, one paragraph a line, plain or .xz")
    parser.add_argument("--work", type=Path, default=Path("lexicon-work"), help="folder for the tokenised text (kept)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the lexicons")
    parser.add_argument("--rows", type=int, default=33_000, help="size of the vocabulary")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=LEXICONS, default=list(LEXICONS), help="which lexicons to train")
    args = parser.parse_args()
    if not args.text.is_file():
        sys.exit(f"{args.text}: no such file")

    args.work.mkdir(parents=True, exist_ok=True)
    tokens, sentences = args.work / "tokens.txt", args.work / f"sentences-{args.rows}.txt"
    if not tokens.exists():
        write_tokens(args.text, tokens, args.workers)
    if not sentences.exists():
        write_with_vocabulary(tokens, sentences, args.rows)
    for name in args.only:
        write_lexicon(train(sentences, name, args.workers, args.seed), args.out / f"{name}.txt")


if __name__ == "__main__":
    main()
