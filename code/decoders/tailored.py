"""Instance-tailored inference networks (Tu and Gimpel 2019, 4.2.1): a network of its own for each sentence.

It begins with the parameters psi of the trained network and takes a few steps of gradient descent on its energy,

    v <- mu v - eta dE(w, A_psi(w))/dpsi,    psi <- psi + v,

without gold tags and without dropout. All parameters move but those of the word features. Each sentence has its copy
psi_b, so no sentence depends on others (the authors' code tailors one network to ten sentences together); the copies
are a dimension of tensors, over which torch.func.vmap runs one network, and one backward pass of the summed energies
gives the gradient of every copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from chain import LinearChain
from corpus import Batch
from decoders import Decoding, refuse_impossible, select
from decoders.gradient_descent import Descent, Iterate, Settings, follow
from decoders.relaxation import Relaxation, finite
from local import LocalTagger
from networks import Network
from tagger import Tagger

DEFAULT = Settings(iterations=5, step=0.003)
LARGEST = 2**26  # numbers in all copies together; of more sentences some wait for others


@torch.no_grad()
def tailored(
    tagger: Tagger,
    batch: Batch,
    chain: LinearChain | None = None,
    *,
    network: LocalTagger,
    settings: Settings = DEFAULT,
) -> Decoding:
    """The discrete tagging of lowest energy that a sentence's own network gives on the way, that of the trained network
    included, and the relaxed one that it gives in the end.

    Raises ImpossibleError where no tagging is possible. The relaxed energy counts FORBIDDEN for -inf.
    """
    chain = tagger(batch) if chain is None else chain
    words = network.lexicon.embed(batch)
    tags = torch.full(words.shape[:2], -1, device=words.device)
    relaxed = words.new_zeros(*words.shape[:2], len(tagger.tagset))
    size = max(1, LARGEST // sum(parameter.numel() for parameter in network.network.parameters()))
    for sentences in torch.arange(len(tags), device=words.device).split(size):
        part = select(chain, sentences)
        n = part.mask.shape[1]
        found = tailor(part, network.network, words[sentences, :n], settings)
        tags[sentences, :n], relaxed[sentences, :n] = found.tags, found.last.relaxed
    decoding = Decoding(tags, chain, relaxed)
    refuse_impossible(chain, decoding.energy == torch.inf)
    return decoding


@torch.no_grad()
def tailor(chain: LinearChain, network: Network, words: Float[Tensor, "B n e"], settings: Settings) -> Descent:
    """What the copies of a network meet on their way down.

    Args:
        words: their features.
    """
    counts = torch.full_like(chain.lengths, settings.iterations)
    return follow(iterates(finite(chain), network, words, settings.step, settings.momentum), counts)


def iterates(
    chain: LinearChain, network: Network, words: Float[Tensor, "B n e"], step: float, momentum: float
) -> Iterator[Iterate]:
    """The output of the trained network, and then that of the copies after each step, without end. `chain` is a finite
    one."""
    relaxation, network = Relaxation(chain), stepwise(network)
    copies = {name: x.detach().expand(len(words), *x.shape).clone() for name, x in network.named_parameters()}
    velocity = {name: torch.zeros_like(x) for name, x in copies.items()}
    while True:
        copies = {name: x.detach().requires_grad_() for name, x in copies.items()}
        logits, q, energy = output(network, relaxation, copies, words, chain.lengths)
        tags = logits.detach().max(dim=2).indices.masked_fill(~chain.mask, -1)
        yield Iterate(q.detach(), energy.detach(), tags, -chain.score(tags))
        slopes = torch.autograd.grad(energy, list(copies.values()), torch.ones_like(energy))
        velocity = {name: momentum * velocity[name] - step * slope for name, slope in zip(copies, slopes)}
        copies = {name: x.detach() + velocity[name] for name, x in copies.items()}


@torch.enable_grad()
def output(
    network: Network, relaxation: Relaxation, copies: Mapping[str, Tensor], words: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, relaxed tagging and energy of each sentence under its own copy."""

    def of_sentence(copy: dict[str, Tensor], words: Tensor, length: Tensor) -> Tensor:
        return functional_call(network, copy, (words[None], length[None])).squeeze(0)

    logits = vmap(of_sentence)(copies, words, lengths)
    q = relaxation.softmax(logits)
    return logits, q, relaxation.energy_of(q)


# vmap has no rule for the fused loop of nn.LSTM, nor for nn.LSTMCell

State = tuple[Tensor, Tensor]


def lstm_step(of_input: Float[Tensor, "B gates"], recurrent: Float[Tensor, "gates d"], state: State) -> State:
    """State and cell after another input, given its share in the gates i, f, g, o."""
    h, c = state
    i, f, g, o = (of_input + h @ recurrent.T).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class StepwiseLSTM(nn.Module):
    """An LSTM of one layer, or its cell, with the same parameters under the same names."""

    def __init__(self, lstm: nn.LSTM | nn.LSTMCell):
        super().__init__()
        self.ending, self.hidden_size = "" if isinstance(lstm, nn.LSTMCell) else "_l0", lstm.hidden_size
        for name, parameter in lstm.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, inputs: Tensor, state: State | None = None) -> State | tuple[Tensor]:
        """Of a cell: input [B, e] and state, to state. Of an LSTM: inputs [B, m, e] to a tuple of the states [B, m, d]
        and nothing else."""
        names = ("weight_ih", "bias_ih", "bias_hh", "weight_hh")
        weight, bias, more, recurrent = (getattr(self, name + self.ending) for name in names)
        of_inputs = nn.functional.linear(inputs, weight, bias + more)
        if state is not None:
            return lstm_step(of_inputs, recurrent, state)
        state, states = (inputs.new_zeros(len(inputs), self.hidden_size),) * 2, []
        for of_input in of_inputs.unbind(1):
            state = lstm_step(of_input, recurrent, state)
            states.append(state[0])
        return (torch.stack(states, dim=1),)


def stepwise(network: Network) -> Network:
    """A copy of the network that vmap can run; its parameters are those of the network itself."""
    twin = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.LSTM, nn.LSTMCell)):
                setattr(module, name, StepwiseLSTM(child))
    return twin
