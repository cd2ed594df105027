"""Running English text -> sentences -> tokens in the style of the Penn Treebank, as this course's corpora have them.

Sentences are split by a rule (end mark, blank, capital; not after an abbreviation or an initial); tokens by NLTK's
Treebank tokenizer. Typographic quotes, dashes and ellipses are first written as the treebanks write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nltk.tokenize.treebank import TreebankWordTokenizer

ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof rev hon st sr jr gen col capt lt sgt maj adm gov sen rep pres messrs vs etc cf ca al fig
    figs no nos vol vols pp ed eds trans inc ltd co corp dept univ jan feb mar apr jun jul aug sept sep oct nov dec
    mt ft approx e.g i.e viz u.s u.k ph.d b.c a.d a.m p.m""".split()
)
END_OF_SENTENCE = re.compile(r"""([.!?]+["')\]”’]*)\s+(?=["'(\[“‘]*[A-Z0-9À-ÖØ-Þ])""")
LAST_WORD = re.compile(r"([\w.]+)$")
AS_IN_TREEBANKS = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "…": "...", "—": " -- ", "\u00a0": " "}
)
EN_DASH_BETWEEN_WORDS = re.compile(r"\s+[–-]\s+")

_tokenizer = TreebankWordTokenizer()


def sentences(paragraph: str) -> Iterator[str]:
    """Split one paragraph into sentences. An abbreviation or a single initial before a full stop does not end one."""
    start = 0
    for match in END_OF_SENTENCE.finditer(paragraph):
        if match.group(1)[0] == "." and _is_abbreviation(paragraph[start : match.start()]):
            continue
        yield paragraph[start : match.end(1)].strip()
        start = match.end()
    last = paragraph[start:].strip()
    if last:
        yield last


def _is_abbreviation(text: str) -> bool:
    match = LAST_WORD.search(text[-20:])
    if match is None:
        return False
    word = match.group(1)
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word.isupper())


def tokens(sentence: str) -> list[str]:
    """Penn Treebank tokens of one sentence: clitics, punctuation, quotes split off, brackets as -LRB- and the like."""
    sentence = EN_DASH_BETWEEN_WORDS.sub(" -- ", sentence.translate(AS_IN_TREEBANKS)).replace("–", "-")
    return _tokenizer.tokenize(sentence, convert_parentheses=True)
