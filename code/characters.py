"""Word features from spelling, trained with the model: a convolution over the characters of the word, then max-pooling.

With x_0, ..., x_{l+1} the embeddings of a word's l characters and the marks of its beginning and end, filter f gives

    c_f = tanh(b_f + max_i (W_{f,-1} x_{i-1} + W_{f,0} x_i + W_{f,+1} x_{i+1})),    i = 0, ..., l + 1

(Ma and Hovy 2016, section 2.1), x being 0 beyond the marks. A window of three characters is the sum of one row each
of three tables, x W^T for every character: so the convolution is three look-ups, and each is made once for each word
type of a batch, not for each token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from word_features import BOS, EOS, Block

LONGEST = 20  # characters of a word; of a longer one the first and the last half of these
RARE = 5  # characters of fewer training tokens than this share the unknown character
MARKS = ("", "unknown", "begin", "end", BOS, EOS)  # numbers that are no characters; the first fills short words up
NOTHING, UNKNOWN, BEGIN, END = range(4)


def inventory(training_counts: Mapping[str, int]) -> list[str]:
    """The characters that are not rare in these words, each of which occurs so often."""
    counts: Counter[str] = Counter()
    for word, count in training_counts.items():
        for character in set(word):
            counts[character] += count
    return sorted(character for character, count in counts.items() if count >= RARE)


class Characters(Block):
    """One dimension for each filter.

    | symbol | parameter | shape |
    | x | embedding | [C, embedding_dim]: C - 6 characters after unknown, begin and end, BOS and EOS (row 0 is unused) |
    | W | filters | [WIDTH, embedding_dim, dim] |
    | b | bias | [dim] |

    Args:
        characters: the characters that have an embedding of their own.
        dim: number of filters.
        embedding_dim: dimension of a character's embedding.

    Attributes:
        dropout: in training, the share of the numbers in the embeddings that are 0, drawn anew at each use: a
            character is then known by the same ones of its numbers wherever it occurs.
    """

    kind = "characters"
    WIDTH = 3

    def __init__(self, characters: Sequence[str], dim: int = 30, embedding_dim: int = 30):
        super().__init__()
        self.characters = list(characters)
        self.numbers = {character: number for number, character in enumerate(self.characters, start=len(MARKS))}
        self.dim, self.embedding_dim, self.dropout = dim, embedding_dim, 0.0
        self.embedding = nn.Parameter(torch.empty(len(MARKS) + len(self.characters), embedding_dim))
        self.filters = nn.Parameter(torch.empty(self.WIDTH, embedding_dim, dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.draw()
        self.register_buffer("spellings", torch.empty(0, LONGEST + 2, dtype=torch.long), persistent=False)

    def config(self) -> dict[str, Any]:
        return dict(kind=self.kind, characters=self.characters, dim=self.dim, embedding_dim=self.embedding_dim)

    @torch.no_grad()
    def draw(self) -> None:
        self.embedding.normal_()
        self.embedding[UNKNOWN] = 0.0  # where training has no rare character, an unknown one says nothing
        self.filters.normal_(std=(self.WIDTH * self.embedding_dim) ** -0.5)

    def rows(self, words: Sequence[str], known: Sequence[bool]) -> Int[Tensor, "types"]:
        """The rows that these words get in `spellings`, below those of all words before."""
        new = torch.tensor([self.spell(word) for word in words], device=self.spellings.device)
        first = len(self.spellings)
        self.spellings = torch.cat([self.spellings, new])
        return torch.arange(first, first + len(words))

    def spell(self, word: str) -> list[int]:
        """The word as LONGEST + 2 numbers: begin, its characters, end, and then nothing."""
        if word in (BOS, EOS):
            inside = [MARKS.index(word)]
        else:
            letters = word if len(word) <= LONGEST else word[: LONGEST // 2] + word[-(LONGEST // 2) :]
            inside = [self.numbers.get(letter, UNKNOWN) for letter in letters]
        return [BEGIN, *inside, END] + [NOTHING] * (LONGEST - len(inside))

    def forward(self, rows, as_novel, fold) -> Float[Tensor, "B m dim"]:
        types, where = rows.unique(return_inverse=True)
        return self.convolve(self.spellings[types])[where]

    def convolve(self, spellings: Int[Tensor, "types length"]) -> Float[Tensor, "types dim"]:
        """The filters' answers to words that are spelled so."""
        C, reach = len(self.embedding), self.WIDTH // 2
        spellings = spellings[:, : int((spellings != NOTHING).sum(dim=1).max())]
        embedding = torch.cat([torch.zeros_like(self.embedding[:1]), self.embedding[1:]])
        embedding = nn.functional.dropout(embedding, self.dropout, self.training)
        tables = (embedding @ self.filters).flatten(0, 1)  # [WIDTH * C, dim]
        padded = nn.functional.pad(spellings, (reach, reach), value=NOTHING)
        windows = padded.unfold(1, self.WIDTH, 1) + C * torch.arange(self.WIDTH, device=spellings.device)
        answers = nn.functional.embedding_bag(windows.flatten(0, 1), tables, mode="sum")
        answers = answers.view(*spellings.shape, self.dim).masked_fill((spellings == NOTHING)[:, :, None], -torch.inf)
        return torch.tanh(self.bias + answers.amax(dim=1))
