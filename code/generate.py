"""Sentences drawn from a hidden Markov model: t_1 ~ p(t | BOS), w_i ~ p(w | t_i), t_{i+1} ~ p(t | t_i), till EOS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from corpus import Sentence


def draw_sentences(
    start: Float[Tensor, "k"],
    trans: Float[Tensor, "k k"],
    stop: Float[Tensor, "k"],
    emission: Float[Tensor, "V k"],
    vocabulary: Sequence[str],
    tagset: Sequence[str],
    sentences: int,
    generator: torch.Generator | None = None,
    limit: int = 200,
) -> list[Sentence]:
    """So many tagged sentences of at least one word.

    Args:
        start, trans, stop, emission: log-probabilities, as hmm.LogProbabilities has them.
        vocabulary, tagset: what the V rows and the k columns of `emission` are called.
        generator: of the cpu, where all is drawn; default: torch's global one.
        limit: a sentence that is longer ends here.
    """
    onward = torch.cat([trans, stop[:, None]], dim=1).exp().cpu()
    tags = draw_tags(start.exp().cpu(), onward, sentences, generator, limit)
    lengths = (tags >= 0).sum(dim=1).tolist()
    words = torch.full_like(tags, -1)
    for tag, of_tag in enumerate(emission.T.exp().cpu()):
        where = tags == tag
        if where.any():
            words[where] = of_tag.multinomial(int(where.sum()), replacement=True, generator=generator)
    return [
        Sentence(tuple(vocabulary[word] for word in of_words[:n]), tuple(tagset[tag] for tag in of_tags[:n]))
        for of_words, of_tags, n in zip(words.tolist(), tags.tolist(), lengths)
    ]


def draw_tags(
    start: Float[Tensor, "k"],
    onward: Float[Tensor, "k k+1"],
    sentences: int,
    generator: torch.Generator | None,
    limit: int,
) -> Int[Tensor, "S n"]:
    """Taggings by their probabilities, all at once, a position a step; -1 from where EOS (column k) was drawn."""
    k = len(start)
    onward = torch.cat([onward, torch.eye(k + 1, dtype=onward.dtype)[k:]])  # after EOS comes EOS
    tag = start.expand(sentences, -1).multinomial(1, generator=generator).squeeze(1)
    columns = [tag]
    while len(columns) < limit and (tag < k).any():
        tag = onward[tag].multinomial(1, generator=generator).squeeze(1)
        columns.append(tag)
    tags = torch.stack(columns, dim=1)
    return torch.where(tags < k, tags, -1)
