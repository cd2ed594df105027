"""BLSTM-CRF: the energy of Tu and Gimpel (2019), section 2, whose tagging of lowest energy Viterbi finds.

    p(t | w) proportional to exp(-E(w, t)),    -E(w, t) = sum_i (u_{t_i} . f(w, i) + c_{t_i})
                                                          + A_{BOS, t_1} + sum_i A_{t_{i-1}, t_i} + A_{t_n, EOS}

f(w, i) are the states of a bidirectional LSTM at word i (networks.py). As in the authors' code, and not in the paper,
there are a bias c and transitions from BOS and to EOS. With relaxed tags, a distribution y_i in the place of each t_i,
`LinearChain.energy` is the paper's E(w, y).

With `plus` it is the paper's BLSTM-CRF+: word vectors are fine-tuned, a convolution over the characters of a word adds
to them, and there is dropout.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from chain import LinearChain
from corpus import Batch
from integerize import Integerizer
from lexicon import Lexicon
from local import NetworkTagger
from networks import BLSTM


class ConditionalRandomFieldBLSTM(NetworkTagger):
    """BLSTM-CRF.

    Parameters: those of the network; and A in three parts, start [k] (from BOS), trans [k, k], stop [k] (to EOS).

    Args:
        hidden, plus: see NetworkTagger.
        layers: of the BLSTM.
    """

    kind: ClassVar[str] = "crf_blstm"
    network_class = BLSTM

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, hidden: int = 100, plus: bool = False, layers: int = 1):
        super().__init__(tagset, lexicon, hidden, plus, layers=layers)
        k = len(tagset)
        self.start, self.stop = nn.Parameter(torch.zeros(k)), nn.Parameter(torch.zeros(k))
        self.trans = nn.Parameter(torch.zeros(k, k))

    def forward(self, batch: Batch) -> LinearChain:
        start, stop = self.start.expand(len(batch), -1), self.stop.expand(len(batch), -1)
        return LinearChain(start, self.logits(batch), self.trans, stop, batch.lengths)
