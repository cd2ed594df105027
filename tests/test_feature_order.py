"""Word features from process to process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_features_are_in_the_same_order_in_every_process() -> None:
    """Whatever Python's hashes are: else the same seed would not give the same model."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from corpus import Sentence
from lexicon import Lexicon
lines = "Running/V dogs/N barked/V", "Bigger/J dogs/N running/V"
text = [Sentence(*zip(*(token.split("/") for token in line.split()))) for line in lines]
lexicon = Lexicon.from_corpus(text, one_hot=True, tag_frequencies=True, word_shapes=True, characters=True)
print([block.config() for block in lexicon.blocks], list(lexicon.vocab))
"""
    code = str(Path(__file__).resolve().parent.parent / "code")
    printed = {
        subprocess.run(
            [sys.executable, "-c", program, code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }  # fmt: skip
    assert len(printed) == 1 and "suffix" in printed.pop()
