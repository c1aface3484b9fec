"""Recurrent language models (LSTM, GRU), the standard before attention, trained by the same loop.

A recurrent network reads a text token by token and updates one state of fixed size. Information about the beginning
must pass through every step since; a transformer attends to each earlier token directly.

`lstm_step` and `gru_step` write out one step; the network uses torch's own layers, which give the same numbers.

The state can be carried on: `CarriedLoss` trains on texts that continue from batch to batch, `carried_nats` scores a
text of any length, window by window, as one long forward pass would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.data.batches import Batch, padded
from scratchlm.model.config import ClassesConfig, DecoderConfig
from scratchlm.model.network import CausalLM
from scratchlm.model.norms import build_norm
from scratchlm.training.loss import linear_cross_entropy

Cell = Literal["lstm", "gru"]
State = tuple[Tensor, ...]
"""The state of each layer after a token: of an LSTM hidden and cell state, (2, 1, B, D), of a GRU (1, 1, B, D)."""


class RecurrentDecoder(CausalLM):
    """Embedding, recurrent layers, head: trains, evaluates and samples like a decoder, but without a cache.

    Of its `config` only vocabulary, context, width, layers, dropout, norm, init_std, classes and tying are used.
    Texts begin with a zero state. Sampling reads the whole text again for each token.
    """

    def __init__(self, config: DecoderConfig, cell: Cell = "lstm") -> None:
        super().__init__(config)
        self.cell = cell
        self.blocks = nn.ModuleList()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.layers = nn.ModuleList(kind(config.width, config.width, batch_first=True) for _ in range(config.layers))
        self.final_norm = build_norm(config.width, config.norm)
        self.head = None if config.tied else nn.Linear(config.width, config.vocabulary_size, bias=False)
        classes = config.classes.count if isinstance(config.classes, ClassesConfig) else None
        self.classifier = None if classes is None else nn.Linear(config.width, classes, bias=False)

    def hidden(self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None) -> Float[Tensor, "B T D"]:
        """Return the last layer's state after each token; layers have residual connections."""
        assert documents is None, "a recurrent network reads rows of one text each"
        return self.advance(ids, None)[0]

    def advance(self, ids: Int[Tensor, "B T"], state: State | None) -> tuple[Float[Tensor, "B T D"], State]:
        """Return what `hidden` does, of texts that go on after `state` (None: texts that begin), and the new state."""
        x: Tensor = self.dropout(self.embedding(ids))
        after = []
        for number, layer in enumerate(self.layers):
            before = None if state is None else state[number].unbind()
            made, ended = layer(x, before if before is None or self.cell == "lstm" else before[0])
            x = x + self.dropout(made)
            after.append(torch.stack(ended if self.cell == "lstm" else (ended,)))
        return self.final_norm(x), tuple(after)

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token: 6 for each weight of a matrix product."""
        table = 0 if self.config.tied else self.embedding.weight.numel()
        return 6.0 * (self.parameter_count() - table)


def build_recurrent(config: DecoderConfig, cell: Cell = "lstm", seed: int = 0) -> RecurrentDecoder:
    """Build a recurrent decoder with weights drawn from `seed`.

    Matrices of a layer are uniform within 1 / sqrt(width), biases 0 except the LSTM's forget gate, whose bias starts at
    1, so that a new network remembers (Jozefowicz et al. 2015, "An empirical exploration of recurrent network
    architectures").
    """
    network = RecurrentDecoder(config, cell)
    generator = torch.Generator().manual_seed(seed)
    bound, width = 1 / math.sqrt(config.width), config.width
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("layers.") and parameter.dim() == 2:
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.startswith("layers."):
                parameter.zero_()
                if cell == "lstm" and "bias_ih" in name:
                    parameter[width : 2 * width] = 1.0
            elif parameter.dim() == 2:
                parameter.normal_(0.0, config.init_std, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)  # the norm's
    return network


class CarriedLoss:
    """The next-token loss of rows that go on from batch to batch (`StreamBatches`): truncated back-propagation.

    Each batch begins with the state that the last one ended with, and no gradient flows back into the last one. The
    state lives here, not in a checkpoint: a run that is resumed begins with a zero state. Source: Williams and Peng
    1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories".
    """

    def __init__(self) -> None:
        self.state: State | None = None

    def __call__(self, network: RecurrentDecoder, batch: Batch) -> Float[Tensor, ""]:
        """Return the summed cross-entropy of a batch; every position has a target."""
        hidden, state = network.advance(batch.ids, self.state)
        self.state = tuple(each.detach() for each in state)
        softcap = network.config.logit_softcap
        return linear_cross_entropy(hidden.flatten(0, 1), batch.targets.flatten(), network.head_weight, softcap)


@torch.no_grad()
def carried_nats(
    network: RecurrentDecoder, texts: Sequence[Int[np.ndarray, " _"]], length: int = 256
) -> list[Float[np.ndarray, " _"]]:
    """Return the loss in nats of each token of each text but its first one, given all tokens before it.

    Texts of at least one token are read side by side, `length` tokens at a time; the state is carried on, so `length`
    changes memory and speed alone.
    """
    network.eval()
    table, last = padded([text.tolist() for text in texts])
    ids, targets = table[:, :-1], table[:, 1:]
    state: State | None = None
    pieces = []
    for start in range(0, ids.size(1), length):
        hidden, state = network.advance(ids[:, start : start + length], state)
        logits = network.logits(hidden).float()
        chosen = targets[:, start : start + length, None]
        pieces.append((logits.logsumexp(-1) - logits.gather(-1, chosen).squeeze(-1)).double())
    nats = torch.cat(pieces, 1).numpy() if pieces else np.zeros((len(texts), 0))
    return [row[:count] for row, count in zip(nats, last.tolist(), strict=True)]


def _weights(layer: nn.LSTM | nn.GRU) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the input and state matrices, then their biases, with the gates stacked along the rows."""
    named = dict(layer.named_parameters())
    return named["weight_ih_l0"], named["weight_hh_l0"], named["bias_ih_l0"], named["bias_hh_l0"]


def lstm_step(
    layer: nn.LSTM, x: Float[Tensor, "B D"], state: Float[Tensor, "B D"], memory: Float[Tensor, "B D"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
    """Return hidden state and cell state after one token (Hochreiter and Schmidhuber 1997; gates: Gers et al. 2000).

    The cell state changes only by addition and the forget gate, so that its gradient survives many steps.
    """
    of_input, of_state, bias_input, bias_state = _weights(layer)
    scores = x @ of_input.T + bias_input + state @ of_state.T + bias_state
    take, keep, new, show = scores.chunk(4, dim=-1)
    memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
    return show.sigmoid() * memory.tanh(), memory


def gru_step(layer: nn.GRU, x: Float[Tensor, "B D"], state: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Return the state after one more token (Cho et al. 2014, arXiv 1406.1078; torch's form of the reset gate)."""
    of_input, of_state, bias_input, bias_state = _weights(layer)
    from_input = (x @ of_input.T + bias_input).chunk(3, dim=-1)
    known = (state @ of_state.T + bias_state).chunk(3, dim=-1)
    reset = (from_input[0] + known[0]).sigmoid()
    keep = (from_input[1] + known[1]).sigmoid()
    new = (from_input[2] + reset * known[2]).tanh()
    return keep * state + (1 - keep) * new
