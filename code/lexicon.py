"""Word features: what a model may know of a word, as a row vector of dimension e.

A lexicon is a list of blocks (word_features.py) side by side, in any mixture: one-hot training words, pretrained
vectors, tag frequencies ("problex"), affixes and shape, and characters (characters.py). Blocks that know words look
one up as it is, then lower-cased. Failing both, one-hot and problex give OOV; a pretrained block gives its OOL row
(out of lexicon) to a word known from training and a trained OOV vector, which starts as a copy of OOL, to a novel
one. So that OOV gets trained, training words that occur once are taken for novel half of the time. Affixes and
characters always come from the word itself.

`lexicon.features(batch) @ weight` is eq. 43's product E W for the tokens of the batch, without building E;
`lexicon.embed(batch)` gives the rows themselves.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from characters import Characters, inventory
from corpus import FOLDS, Batch, Sentence
from integerize import Integerizer
from word_features import BOS, EOS, Affixes, Block, OneHot, Pretrained, Problex, WordFeatures, look_up
from word_vectors import WordVectors

SINGLETONS_AS_NOVEL = 0.5
SHAPES = ((re.compile(r"[A-ZÀ-ÖØ-Þ]"), "X"), (re.compile(r"[^\W\d_A-ZÀ-ÖØ-Þ]"), "x"), (re.compile(r"\d"), "9"))
SPAN = re.compile(r"(.)\1+")


def problex(counts: Float[Tensor, "V k"]) -> Float[Tensor, "V+2 k+1"]:
    """log p(t | w) for each tag and log p(w), smoothed, from how often each word had each tag in training text.

    With c(w) the row sum, N the total and q the tag distribution of the words that occur once (add-one), which is what
    an unknown word is likely to be: p(t | w) = (c(w, t) + q(t)) / (c(w) + 1), p(w) = (c(w) + 1/2) / (N + (V + 1) / 2).

    Returns:
        One row for each word; then the row of OOV, as of a word of count 0; then one of zeros, for BOS and EOS.
    """
    # BEGIN SOLUTION
    counts = torch.cat([counts, counts.new_zeros(1, counts.shape[1])])
    of_word = counts.sum(dim=1, keepdim=True)
    of_singletons = counts[of_word[:, 0] == 1].sum(dim=0) + 1.0
    prior = of_singletons / of_singletons.sum()
    of_tags = ((counts + prior) / (of_word + 1.0)).log()
    of_words = ((of_word + 0.5) / (of_word.sum() + 0.5 * len(counts))).log()
    rows = torch.cat([of_tags, of_words], dim=1)
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
    # END SOLUTION


def affixes(word: str) -> list[str]:
    """The affix and shape features of a word: suffixes of 1 to 4 letters, prefixes of 1 to 3, and its shape, long and
    short.

    Always the same number of them; those of a word that is shorter than the affix are the whole word.

    >>> affixes("Re-sold")[-2:]
    ['shape=Xx-xxxx', 'short=Xx-x']
    """
    # BEGIN SOLUTION
    lower = word.lower()
    shape = word
    for pattern, symbol in SHAPES:
        shape = pattern.sub(symbol, shape)
    suffixes = [f"suffix{n}={lower[-n:]}" for n in (1, 2, 3, 4)]
    prefixes = [f"prefix{n}={lower[:n]}" for n in (1, 2, 3)]
    return [*suffixes, *prefixes, f"shape={shape}", "short=" + SPAN.sub(r"\1", shape)]
    # END SOLUTION


class Lexicon(nn.Module):
    """The word features of one model, and its memory of which words it has met where.

    Args:
        training_counts: the words of the tagged training tokens, with how often each occurs.
        untagged_words: the words of untagged training text.
        vectors: pretrained lexicons, as many as wanted.
        one_hot: whether to have the one-hot block; by default, if there would be no other.
        more: further blocks, as `from_corpus` makes them.

    Attributes:
        vocab: every spelling met so far by its number, as in Batch.ids; it grows as texts are read.
        novel_share: how many of the training words that occur once are taken for novel in training.
    """

    def __init__(
        self,
        training_counts: Mapping[str, int],
        untagged_words: Iterable[str] = (),
        vectors: Sequence[WordVectors] = (),
        one_hot: bool | None = None,
        more: Sequence[Block] = (),
    ):
        super().__init__()
        self.training_counts = dict(training_counts)
        self.untagged_words = dict.fromkeys(untagged_words, True)
        self.one_hot = not (vectors or more) if one_hot is None else one_hot
        self.blocks = nn.ModuleList([OneHot(self.training_counts)] if self.one_hot else [])
        self.blocks.extend([*map(Pretrained, vectors), *more])
        self.dims: list[int] = [block.dim for block in self.blocks]
        self.dim = sum(self.dims)
        self.vocab = Integerizer([BOS, EOS])
        self.novel_share = SINGLETONS_AS_NOVEL
        self._rows: list[Tensor] = [torch.empty(0, dtype=torch.long) for _ in self.blocks]
        self._once = torch.empty(0, dtype=torch.bool)

    @classmethod
    def from_corpus(
        cls,
        training: Sequence[Sentence],
        vectors: Sequence[WordVectors] = (),
        one_hot: bool | None = None,
        tag_frequencies: bool = False,
        word_shapes: bool = False,
        characters: bool = False,
        finetune: bool = False,
    ) -> Lexicon:
        """The lexicon of a training corpus, whose sentences may be tagged, untagged or partly tagged.

        Args:
            vectors, one_hot: see the class.
            tag_frequencies: whether to have the problex block.
            word_shapes: whether to have the affixes block.
            characters: whether to have the characters block.
            finetune: whether pretrained vectors may change in training.
        """
        counts: Counter[str] = Counter()
        untagged: Counter[str] = Counter()
        for sentence in training:
            for word, tag in zip(sentence.words, sentence.tags):
                (untagged if tag is None else counts)[word] += 1
        more: list[Block] = [Pretrained(of_file, finetune) for of_file in vectors]
        if tag_frequencies:
            more.append(problex_block(training, list(counts)))
        if word_shapes:
            types = Counter(name for word in counts for name in dict.fromkeys(affixes(word)))
            more.append(Affixes([name for name, count in types.items() if count > 1], affixes))
        if characters:
            more.append(Characters(inventory(counts)))
        return cls(counts, untagged, one_hot=one_hot, more=more)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs to make it again, before its tensors are loaded."""
        return dict(
            training_counts=self.training_counts,
            untagged_words=list(self.untagged_words),
            one_hot=self.one_hot,
            blocks=[block.config() for block in self.blocks[self.one_hot :]],
        )

    def fresh(self) -> Lexicon:
        """A copy for another model, its random weights drawn anew."""
        lexicon = copy.deepcopy(self)
        for block in lexicon.blocks:
            block.draw()
        return lexicon

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Lexicon:
        """A lexicon of the same words and blocks. Raises KeyError, TypeError or ValueError if `config` is not right."""
        counts = {str(word): int(count) for word, count in config["training_counts"].items()}
        blocks = [make_block(block) for block in config["blocks"]]
        return cls(counts, config["untagged_words"], one_hot=bool(config["one_hot"]), more=blocks)

    def category(self, word: str) -> str:
        """known (in a tagged training token), seen (only in untagged text or a pretrained lexicon) or novel."""
        if look_up(word, self.training_counts) is not None:
            return "known"
        tables = [self.untagged_words, *(block.index for block in self.blocks)]
        return "seen" if any(look_up(word, table) is not None for table in tables) else "novel"

    def features(self, batch: Batch, ends: bool = False) -> WordFeatures:
        """The features of each token; with `ends`, of BOS before the first and EOS after the last too (m = n + 2)."""
        self._read_new_words(batch.ids.device)
        ids = torch.where(batch.mask, batch.ids, self.vocab.index(EOS))
        if ends:
            ids = nn.functional.pad(ids, (1, 0), value=self.vocab.index(BOS))
            ids = nn.functional.pad(ids, (0, 1), value=self.vocab.index(EOS))
        as_novel = torch.zeros_like(ids, dtype=torch.bool)
        if self.training:
            as_novel = self._once[ids] & (torch.rand(ids.shape, device=ids.device) < self.novel_share)
        fold = batch.fold[:, None]
        return WordFeatures(
            [block(rows[ids], as_novel, fold) for block, rows in zip(self.blocks, self._rows)], self.dims
        )

    def embed(self, batch: Batch, ends: bool = False) -> Float[Tensor, "B m e"]:
        """The feature vectors themselves, zeros and all."""
        return self.features(batch, ends).dense()

    def _read_new_words(self, device: torch.device) -> None:
        """Extend the tables from word numbers to rows by the spellings that `vocab` has got since the last call."""
        done = len(self._once)
        if done < len(self.vocab):
            words = [self.vocab[number] for number in range(done, len(self.vocab))]
            known = [look_up(word, self.training_counts) is not None for word in words]
            for number, block in enumerate(self.blocks):
                new = block.rows(words, known)
                self._rows[number] = torch.cat([self._rows[number].cpu(), new]) if done else new
            once = torch.tensor([self.training_counts.get(word) == 1 for word in words])
            self._once = torch.cat([self._once.cpu(), once])
        if self._once.device != device:
            self._rows = [rows.to(device) for rows in self._rows]
            self._once = self._once.to(device)


def problex_block(training: Sequence[Sentence], words: Sequence[str]) -> Problex:
    """The problex features of these words; for each tenth of the training text from the counts of the other nine."""
    tags = Integerizer(sorted({tag for sentence in training for tag in sentence.tags if tag is not None}))
    index = {word: row for row, word in enumerate(words)}
    counts = torch.zeros(FOLDS, len(words), len(tags))
    for number, sentence in enumerate(training):
        fold = number * FOLDS // len(training)
        for word, tag in zip(sentence.words, sentence.tags):
            if tag is not None:
                counts[fold, index[word], tags.index(tag)] += 1
    total = counts.sum(dim=0)
    of_folds = [standardized(problex(total - of_fold)) for of_fold in counts]
    return Problex(words, standardized(problex(total)), torch.stack(of_folds))


def standardized(rows: Float[Tensor, "words dim"]) -> Float[Tensor, "words dim"]:
    """Each feature less its mean over words, over its standard deviation; the last row stays 0.

    A linear model can say the same either way. But log-probabilities, down to -10 and all of one sign, drive the
    sigmoids of a biRNN into saturation.
    """
    deviation, mean = torch.std_mean(rows[:-1], dim=0, correction=0)
    return torch.cat([(rows[:-1] - mean) / deviation.where(deviation > 0, 1.0), rows[-1:]])


def make_block(config: Mapping[str, Any]) -> Block:
    """A block as `Block.config` described it, its tensors still empty. Raises ValueError if its kind is unknown."""
    if config["kind"] == Pretrained.kind:
        vectors = WordVectors(config["words"], torch.zeros(len(config["words"]), config["dim"]))
        return Pretrained(vectors, bool(config.get("finetune")))
    if config["kind"] == Problex.kind:
        return Problex(config["words"], torch.zeros(len(config["words"]) + 2, config["dim"]))
    if config["kind"] == Affixes.kind:
        return Affixes(config["names"], affixes)
    if config["kind"] == Characters.kind:
        return Characters(config["characters"], config["dim"], config["embedding_dim"])
    raise ValueError(f"no block of word features is called {config['kind']!r}")
