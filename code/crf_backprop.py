"""The stationary CRF of crf.py with its gradient by back-propagation, and with any word features.

With word embeddings as features, W^B = Theta^B E^T (eqs. 42-43): words with similar vectors share their parameters.
Then even a stationary model tags words that it never met in training. With one-hot features E is the identity, and
W^B is what it was.

With tag embeddings of R dimensions the transition weights have rank R (H.2): W^A = Theta^A Theta^A^T, or, so that s
before t may differ from t before s, W^A = Theta^A Theta'^A^T with other embeddings for the second tag of a bigram.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from corpus import Batch
from crf import ConditionalRandomField
from integerize import Integerizer
from lexicon import Lexicon, WordFeatures

TAG_FORMS = ("symmetric", "asymmetric")


class ConditionalRandomFieldBackprop(ConditionalRandomField):
    """Stationary CRF; `emission` [e, k] is Theta^B transposed.

    With `tag_rank` R there are tag embeddings in the place of start, trans and stop:

    | tag_form | parameters |
    | symmetric | Theta_A [k + 2, R], the tags, BOS and EOS |
    | asymmetric | Theta_A [k + 1, R], the tags and BOS before another; Theta_A_ [k + 1, R], the tags and EOS after |

    Args:
        unigram: W^A is 0 and no parameter.
        tag_rank: R; with 0, W^A is a parameter of its own.
        tag_form: symmetric or asymmetric.

    Raises:
        ValueError: sizes that do not go together.
    """

    kind: ClassVar[str] = "crf_backprop"

    def __init__(
        self,
        tagset: Integerizer,
        lexicon: Lexicon,
        unigram: bool = False,
        tag_rank: int = 0,
        tag_form: str = "symmetric",
    ):
        if tag_form not in TAG_FORMS:
            raise ValueError(f"tag_form {tag_form!r} is none of {', '.join(TAG_FORMS)}")
        if tag_rank < 0:
            raise ValueError(f"tag_rank {tag_rank} is below 0")
        if unigram and tag_rank:
            raise ValueError(f"unigram does not go with tag_rank {tag_rank}: there is no tag bigram to embed")
        if tag_form != "symmetric" and not tag_rank:
            raise ValueError(f"tag_form {tag_form} does not go with tag_rank 0: there is no tag embedding")
        super().__init__(tagset, lexicon, unigram)
        self.sizes.update(tag_rank=tag_rank, tag_form=tag_form)
        if tag_rank:
            del self.start, self.trans, self.stop
            k, symmetric = len(tagset), tag_form == "symmetric"
            # not 0, where a product has no slope; entries of W^A begin at about 0.1
            scale = 0.3 * tag_rank**-0.25
            self.Theta_A = nn.Parameter(scale * torch.randn(k + 1 + symmetric, tag_rank))
            self.Theta_A_ = None if symmetric else nn.Parameter(scale * torch.randn(k + 1, tag_rank))

    def transition_weights(self) -> tuple[Float[Tensor, "k"], Float[Tensor, "k k"], Float[Tensor, "k"]]:
        """W^A in its three parts: from BOS, between tags, to EOS."""
        if not self.sizes["tag_rank"]:
            return super().transition_weights()
        k = len(self.tagset)
        before = self.Theta_A[: k + 1]
        after = torch.cat([before[:k], self.Theta_A[k + 1 :]]) if self.Theta_A_ is None else self.Theta_A_
        W_A = before @ after.T
        return W_A[k, :k], W_A[:k, :k], W_A[:k, k]

    def emission_weights(self, words: WordFeatures) -> Float[Tensor, "B n k"]:
        """W^B[t, w_i] = theta_t . w_i, the columns of eq. 43's Theta^B E^T that the words of the batch need."""
        # BEGIN SOLUTION
        return words @ self.emission
        # END SOLUTION

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        # BEGIN SOLUTION
        loss = -self.logprob(batch).mean() + reg / N * self.squared_norm()
        loss.backward()
        return loss.item()
        # END SOLUTION
