"""Recurrent sequence-to-sequence translation (GRU encoder and decoder), with or without attention.

Without attention, the decoder sees the source as one vector, which every step gets (Cho et al. 2014, arXiv 1406.1078).
With additive attention (Bahdanau et al. 2014, arXiv 1409.0473), each step computes weights over the states of all
source words:

    score of source word i at step t = v . tanh(W s_(t-1) + U h_i)

Transformers drop the recurrence and score by scaled dot products instead (Vaswani et al. 2017, arXiv 1706.03762).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scratchlm.generation.writing import sources_of, until
from scratchlm.model.config import DecoderConfig
from scratchlm.model.encoderdecoder import part
from scratchlm.model.network import SequenceModel
from scratchlm.model.norms import build_norm


class RecurrentTranslator(SequenceModel):
    """A bidirectional GRU encodes the source, another GRU decodes the target.

    Rows and `documents` are those of `EncoderDecoder`. Of `config`, vocabulary, width, dropout, norm and init_std are
    used.
    """

    def __init__(self, config: DecoderConfig, *, attention: bool) -> None:
        super().__init__(config)
        self.attends = attention
        width = config.width
        self.blocks = nn.ModuleList()
        self.reader = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.begin = nn.Linear(width, width)
        self.writer = nn.GRUCell(2 * width, width)
        if attention:
            self.state_score = nn.Linear(width, width, bias=False)  # W
            self.source_score = nn.Linear(width, width, bias=False)  # U
            self.score = nn.Linear(width, 1, bias=False)  # v
        self.join = nn.Linear(2 * width, width)
        self.final_norm = build_norm(width, config.norm)

    def read(self, ids: Int[Tensor, "B S"], real: Bool[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
        """Return a state for each source token, both directions concatenated; padding is ignored."""
        x = self.dropout(self.embedding(ids))
        packed = nn.utils.rnn.pack_padded_sequence(x, real.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.reader(packed)[0], batch_first=True, total_length=ids.size(1))
        return states

    def first_state(self, states: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """Return the decoder's initial state, from the encoder's final states of both directions."""
        half = states.size(-1) // 2
        last = states[torch.arange(len(states)), real.sum(1) - 1, :half]
        return torch.tanh(self.begin(torch.cat([last, states[:, 0, half:]], -1)))

    def weights(
        self, state: Float[Tensor, "B D"], keys: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"]
    ) -> Float[Tensor, "B S"]:
        """Return the attention weights of a step over the source tokens; they sum to 1, padding gets 0."""
        scores = self.score(torch.tanh(self.state_score(state)[:, None] + keys)).squeeze(-1)
        return scores.masked_fill(~real, -math.inf).softmax(-1)

    def of_source(self, states: Float[Tensor, "B S D"], first: Float[Tensor, "B D"]) -> Float[Tensor, "B *source D"]:
        """Return what is computed once for all steps: keys of the source tokens, or the one source vector."""
        return self.source_score(states) if self.attends else first

    def step(
        self,
        ids: Int[Tensor, " B"],
        state: Float[Tensor, "B D"],
        states: Float[Tensor, "B S D"],
        fixed: Float[Tensor, "B *source D"],
        real: Bool[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """Return the head's input and the decoder's state after one more target token.

        `fixed` is the result of `of_source`: keys with attention, else the source vector.
        """
        context = (self.weights(state, fixed, real)[..., None] * states).sum(1) if self.attends else fixed
        x = torch.cat([self.dropout(self.embedding(ids)), context], -1)
        state = self.writer(x, state)
        return self.final_norm(self.dropout(torch.tanh(self.join(torch.cat([state, context], -1))))), state

    def hidden(self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None) -> Float[Tensor, "B T D"]:
        """Return the states at the target positions of rows (source, then target); zeros elsewhere."""
        parts = part(ids, documents)
        states = self.read(parts.source, parts.real)
        state = self.first_state(states, parts.real)
        fixed, written = self.of_source(states, state), []
        for token in parts.target.unbind(1):
            made, state = self.step(token, state, states, fixed, parts.real)
            written.append(made)
        return parts.put_back(torch.stack(written, 1))

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token: 6 for each weight of a matrix product."""
        return 6.0 * self.parameter_count()


def build_translator(config: DecoderConfig, *, attention: bool, seed: int = 0) -> RecurrentTranslator:
    """Build a recurrent translator with weights drawn from `seed`: uniform within 1 / sqrt(width), biases 0."""
    model = RecurrentTranslator(config, attention=attention)
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(config.width)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("embedding."):
                parameter.normal_(0.0, config.init_std, generator=generator)
            elif parameter.dim() == 2:
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.fill_(1.0 if name == "final_norm.weight" else 0.0)
    return model


@torch.no_grad()
def write_recurrent(
    model: RecurrentTranslator, sources: Sequence[Sequence[int]], end: int, max_tokens: int, rows: int = 64
) -> list[list[int]]:
    """Return the greedy translation of each source as ids, without the token that ends it."""
    model.eval()
    translations: list[list[int]] = []
    for start in range(0, len(sources), rows):
        ids, real = sources_of(sources[start : start + rows])
        states = model.read(ids, real)
        state = model.first_state(states, real)
        fixed, token, written = model.of_source(states, state), torch.full((len(ids),), end), []
        ended = torch.zeros(len(ids), dtype=torch.bool)
        for _ in range(max_tokens):
            made, state = model.step(token, state, states, fixed, real)
            token = model.logits(made).argmax(-1)
            written.append(token)
            ended |= token == end
            if ended.all():
                break
        translations += [until(row, end) for row in torch.stack(written, 1).tolist()]
    return translations
