"""The stationary CRF of crf.py with its gradient by back-propagation, and with any word features.

With word embeddings as features, W^B = Theta^B E^T (eqs. 42-43): words with similar vectors share their parameters.
Then even a stationary model tags words that it never met in training. With one-hot features E is the identity, and
W^B is what it was.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from corpus import Batch
from crf import ConditionalRandomField
from lexicon import WordFeatures


class ConditionalRandomFieldBackprop(ConditionalRandomField):
    """Stationary CRF; `emission` [e, k] is Theta^B transposed."""

    kind: ClassVar[str] = "crf_backprop"

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
