"""A submission that gives each word its commonest tag: the baseline that every grading must find where it is stated.

    python tag.py INPUT --train CORPUS ... --save MODEL
    python tag.py INPUT --untagged --model MODEL --output_file FILE

It is copied as the tag.py of a submission, and run as any other. Options that it does not know are not for it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path


def train(corpus: Path) -> dict[str, str]:
    """The commonest tag of each word, and under the empty word that of all."""
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for token in corpus.read_text(encoding="utf-8").split():
        word, _, tag = token.rpartition("/")
        by_word[word][tag] += 1
    everything = sum(by_word.values(), Counter())
    return {"": everything.most_common(1)[0][0], **{word: tags.most_common(1)[0][0] for word, tags in by_word.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("input")
    for name in ("--train", "--save", "--model", "--output_file"):
        parser.add_argument(name)
    args, _ = parser.parse_known_args()
    if args.save:
        found = next(path for path in (Path(args.train), Path("../data") / args.train) if path.exists())
        Path(args.save).write_text(json.dumps(train(found)), encoding="utf-8")
        return
    best = json.loads(Path(args.model).read_text(encoding="utf-8"))
    lines = Path(args.input).read_text(encoding="utf-8").split("\n")
    tagged = [" ".join(f"{word}/{best.get(word, best[''])}" for word in line.split(" ")) for line in lines if line]
    Path(args.output_file).write_text("".join(line + "\n" for line in tagged), encoding="utf-8")


if __name__ == "__main__":
    main()
