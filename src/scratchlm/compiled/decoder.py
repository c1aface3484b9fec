"""A decoder whose next tokens are computed by compiled code.

The tables that the code reads hold addresses of the decoder's own tensors, so no weight is copied, and weights that are
trained in place are seen at once. The tensors are kept alive here. One that takes the place of another is not seen.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.compiled import parts
from scratchlm.compiled import tables as places
from scratchlm.compiled.sharing import LINE, Team, prepare
from scratchlm.compiled.step import decode
from scratchlm.compiled.tables import LETTER, PHASES, PLACES, Call, Heads, Model, Rows, StepArrays, StepSizes
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.blocks import Blocks
from scratchlm.model.config import (
    ExpertsConfig,
    LayerNormConfig,
    MLPConfig,
    RMSNormConfig,
    RopeConfig,
    SwiGLUConfig,
    ValueEmbeddingConfig,
    grouped,
)
from scratchlm.model.decoder import Block, Decoder
from scratchlm.model.feedforward import MLP, SwiGLU
from scratchlm.model.lora import AdaptedLinear, adapted
from scratchlm.model.quantized import QuantizedWeight

ACTIVATIONS = {
    "silu": parts.SILU,
    "gelu": parts.GELU,
    "gelu_tanh": parts.GELU_TANH,
    "relu_squared": parts.RELU_SQUARED,
}
NOTE = "(compiling the decode step for this processor, once; its code is kept)"
NOTE_AFTER = 2.0
"""Seconds after which the note is shown."""
CHUNKS = 2
"""Chunks of a product for each thread: more share better, fewer cost less."""
KINDS: dict[torch.dtype, np.ndarray] = {
    torch.float32: np.empty((0, 0), np.float32),
    torch.bfloat16: np.empty((0, 0), np.uint16),
    torch.int8: np.empty((0, 0, 0), np.int8),
    torch.uint8: np.empty((0, 0, 0), np.uint8),
}
"""An empty array in the form in which compiled code sees a matrix, by the number format that it is stored in."""


def unsupported(decoder: Decoder) -> str | None:
    """Return which part of a decoder the compiled step has no code for, or None."""
    config = decoder.config
    if decoder.device.type != "cpu":
        return f"the device {decoder.device.type}"
    if not all(type(attention) is GroupedQueryAttention for attention in decoder.attentions):
        return "another attention than grouped-query"
    if any(layer.packed is not None for layer in adapted(decoder).values()):
        return "weights in NF4"
    if any("value_embedding" in name and layer.active for name, layer in adapted(decoder).items()):
        return "an adapter of the gates of values"
    if not isinstance(config.norm, RMSNormConfig | LayerNormConfig):
        return "another norm than RMS norm and layer norm"
    if isinstance(config.feed_forward, ExpertsConfig):
        return "a mixture of experts"
    if grouped(config).qk_norm and grouped(config).qk_norm_span == "all":
        return "a norm of all heads together"
    matrices = [part for block in _blocks(decoder) for part in _matrices(block).values()]
    kinds = {_kind(part) for part in matrices}
    if len(kinds) > 1 or not {*kinds, _kind(_head(decoder))} <= KINDS.keys():
        return f"matrices in {' and '.join(sorted(map(str, kinds)))}"
    tables = [part for part in decoder.modules() if isinstance(part, QuantizedWeight)]
    weights = {id(each) for part in (*matrices, _head(decoder), decoder.embedding, *tables) for each in _stored(part)}
    others = [each for each in (*decoder.parameters(), *decoder.buffers()) if id(each) not in weights]
    if any(each.is_floating_point() and each.dtype != torch.float32 for each in others):
        return "other weights than matrices in another format than fp32"
    if not all(each.is_contiguous() for each in decoder.parameters()):
        return "weights that lie scattered in memory"
    return None


class CompiledDecoder:
    """Computes steps of a decoder. One step at a time; threads of the machine share it."""

    def __init__(self, decoder: Decoder, blocks: Blocks, threads: int = 1) -> None:
        """Build the tables. The decoder must be one for which `unsupported` returns None, and the cache in fp32."""
        assert blocks.dtype == torch.float32
        self.decoder, self.blocks = decoder, blocks
        self._held: list[Tensor] = []
        config = decoder.config
        layers = np.zeros((config.layers, PLACES), np.int64)
        for number, block in enumerate(_blocks(decoder)):
            self._describe_layer(layers[number], block, number)
        whole = np.zeros(PLACES, np.int64)
        self._describe_norm(whole, places.FINAL_NORM, decoder.final_norm)
        self._describe_matrix(whole, places.HEAD, _head(decoder))
        if decoder.x0_residual is not None:
            whole[places.X0_STREAM] = self._address(decoder.x0_residual.stream_scale)
            whole[places.X0_EMBEDDED] = self._address(decoder.x0_residual.embedding_scale)
        kind = _kind(next(iter(_matrices(_blocks(decoder)[0]).values())))
        self._sizes = _sizes(decoder, CHUNKS * threads, blocks.block_size)
        self._model = Model(self._sizes.record(), layers, whole, KINDS[kind], KINDS[_kind(_head(decoder))])
        self.reads_prompts = KINDS[kind].ndim == 3
        """Whether it reads prompts too, so that a text has the same bits whatever is read beside it."""
        self._arrays = self._buffers(1, 1)
        self._gather(threads)

    def _gather(self, threads: int) -> None:
        """Call threads together, with queues that nobody has entered."""
        self._process, self.threads = os.getpid(), threads
        queues = np.zeros((2, PHASES * self._sizes.layers + 1, LINE), np.int64)
        self._call = Call(queues, np.zeros((2, LINE), np.int64), np.zeros((2, LETTER), np.int64))
        self._lock = threading.Lock()
        call, model = self._call, self._model
        self._team = Team(threads - 1, lambda signal, mine: decode(call, signal, mine, True, model))

    @torch.no_grad()
    def step(
        self,
        texts: Sequence[Sequence[int]],
        positions: Sequence[int],
        blocks: Sequence[Sequence[int]],
        wanted: Sequence[int] | None = None,
    ) -> Float[Tensor, "B V"]:
        """Return the logits after the last token of each text, which the cache does not hold yet.

        `wanted` are the rows whose logits are returned, rising; by default all. They are overwritten by the next step.
        `positions` are those of the last tokens; of a text, the last `reach` tokens are enough. Several rows may be of
        one text, at positions that follow each other. `blocks` says where each text's blocks lie; that of each
        position must be there.
        """
        rows = len(texts)
        table = np.zeros((rows, max(map(len, blocks))), np.int64)
        for row, own in enumerate(blocks):
            table[row, : len(own)] = own
        if self._process != os.getpid() or self.threads != torch.get_num_threads():
            self._gather(torch.get_num_threads())  # threads are not forked with their process
        with self._lock:
            scored = np.arange(rows) if wanted is None else np.array(wanted)
            work = self._for(rows, len(scored))
            new, place = torch.tensor([text[-1] for text in texts]), torch.tensor(positions)
            work.embedded[:] = self._embed(texts, new, place).float().numpy()
            epoch = int(self._team.signal[0]) + 1
            queue, door = self._call.queues[epoch % 2], self._call.doors[epoch % 2]
            note = None if epoch > 1 else threading.Timer(NOTE_AFTER, print, [NOTE], {"file": sys.stderr})
            try:
                if note is not None:
                    note.daemon = True
                    note.start()
                prepare(queue, door, epoch)
                self._call.jobs[epoch % 2] = _job(Rows(new.numpy(), place.numpy(), table, scored), work)
                self._team.call()
                decode(self._call, self._team.signal, self._team.signal, False, self._model)
            except BaseException:  # an interrupt while the code is compiled: nobody may enter any more
                prepare(queue, door, 0)
                raise
            finally:
                if note is not None:
                    note.cancel()
            return torch.from_numpy(work.logits)

    @property
    def reach(self) -> int:
        """How many tokens of a text a step reads."""
        return 1 if self.decoder.ngrams is None else 1 + self.decoder.ngrams.reach

    def _embed(self, texts: Sequence[Sequence[int]], new: Tensor, place: Tensor) -> Float[Tensor, "B D"]:
        """Return what the first layer reads."""
        x = self.decoder.embedding(new)
        if self.decoder.ngrams is not None:
            seen = [list(text[-self.reach :]) for text in texts]
            table = torch.tensor([[0] * (self.reach - len(each)) + each for each in seen])
            filled = torch.tensor([[0] * (self.reach - len(each)) + [1] * len(each) for each in seen])
            x = x + self.decoder.ngrams(table, filled)[:, -1]  # what fills a row up is another document
        return self.decoder.placed(x[:, None], place[:, None])[:, 0]

    def _for(self, rows: int, wanted: int) -> StepArrays:
        """Return the arrays of some rows and some logits: the first ones of those that are held."""
        arrays = self._arrays
        if len(arrays.stream) < rows or len(arrays.logits) < wanted:
            arrays = self._arrays = self._buffers(max(rows, len(arrays.stream)), max(wanted, len(arrays.logits)))
        parts = {name: each[:rows] for name, each in arrays._asdict().items() if name not in ("heads", "logits")}
        return StepArrays(heads=Heads(*(each[:rows] for each in arrays.heads)), logits=arrays.logits[:wanted], **parts)

    def _buffers(self, rows: int, wanted: int) -> StepArrays:
        sizes = self._sizes

        def array(size: int, rows: int = rows) -> np.ndarray:
            return np.zeros((rows, size), np.float32)

        inside, shared = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
        return StepArrays(
            embedded=array(sizes.width),
            stream=array(sizes.width),
            heads=Heads(array(inside), array(shared), array(shared)),
            mixed=array(inside),
            branch=array(sizes.width),
            gate=array(sizes.hidden),
            inner=array(sizes.hidden),
            logits=array(sizes.vocabulary, wanted),
        )

    def _address(self, tensor: Tensor | None) -> int:
        """Return where a tensor lies, 0 for None, and keep it there."""
        if tensor is None:
            return 0
        tensor = tensor.detach()
        assert tensor.is_contiguous()
        self._held.append(tensor)
        return tensor.data_ptr()

    def _describe_layer(self, row: np.ndarray, block: Block, number: int) -> None:
        """Fill the table's row of one layer."""
        attention = _attention(block)
        for which, part in _matrices(block).items():
            self._describe_matrix(row, which, part)
        for place, norm in (
            (places.ATTENTION_NORM, block.attention_norm),
            (places.ATTENTION_OUT_NORM, block.attention_out_norm),
            (places.FEED_FORWARD_NORM, block.feed_forward_norm),
            (places.FEED_FORWARD_OUT_NORM, block.feed_forward_out_norm),
            (places.QUERY_NORM, attention.query_norm),
            (places.KEY_NORM, attention.key_norm),
        ):
            self._describe_norm(row, place, norm)
        row[places.CACHED_KEYS], row[places.CACHED_VALUES] = (
            self._address(part[0]) for part in self.blocks.tensors[number]
        )
        row[places.WINDOW] = attention.window or 0
        rope = self.decoder.config.positions
        if isinstance(rope, RopeConfig):
            local = attention.window is not None and rope.local_theta is not None
            row[places.COS] = self._address(self.decoder.local_rope_cos if local else self.decoder.rope_cos)
            row[places.SIN] = self._address(self.decoder.local_rope_sin if local else self.decoder.rope_sin)
        if attention.value_embedding is not None:
            table = attention.value_embedding.table
            row[places.VALUE_TABLE], row[places.VALUE_SCALES] = (self._address(each) for each in _stored(table)[:2])
            row[places.VALUE_GATE] = self._address(attention.value_embedding.gate.weight)

    def _describe_matrix(self, row: np.ndarray, which: int, part: nn.Module) -> None:
        bias: Tensor | None = getattr(part, "bias", None)
        of = row[places.OF_MATRIX * which : places.OF_MATRIX * (which + 1)]
        of[: places.LORA_A] = [self._address(each) for each in (*_stored(part), bias)]
        if isinstance(part, AdaptedLinear) and part.active is not None:
            narrow, wide = part.lora_a[part.active], part.lora_b[part.active]
            of[places.LORA_A], of[places.LORA_B] = self._address(narrow), self._address(wide)
            of[places.LORA_RANK] = len(narrow)
            of[places.LORA_SCALE] = self._address(torch.tensor([part.scales[part.active]], dtype=torch.float32))

    def _describe_norm(self, row: np.ndarray, place: int, norm: nn.Module | None) -> None:
        row[place] = self._address(getattr(norm, "weight", None))
        row[place + 1] = self._address(getattr(norm, "bias", None))


def _job(rows: Rows, work: StepArrays) -> list[int]:
    """Hand threads a step: sizes, and addresses of arrays that must stay until it ends."""
    arrays: list[Any] = [work.embedded, work.stream, *work.heads, *work[3:]]
    addresses = [each.ctypes.data for each in (*rows, *arrays)]
    numbers = [len(rows.ids), rows.blocks.shape[1], len(rows.wanted), *addresses]
    return numbers + [0] * (LETTER - len(numbers))


def _blocks(decoder: Decoder) -> list[Block]:
    return [block for block in decoder.blocks if isinstance(block, Block)]


def _attention(block: Block) -> GroupedQueryAttention:
    """Return the attention of a layer, which `unsupported` has looked at."""
    assert isinstance(block.attention, GroupedQueryAttention)
    return block.attention


def _stored(part: nn.Module) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the tensors that a layer's matrix is stored in: its weights, or its codes, scales and minima."""
    if isinstance(part, QuantizedWeight):
        return part.codes, part.scales, part.minima
    weight: Tensor = part.get_parameter("weight")
    return weight, None, None


def _head(decoder: Decoder) -> nn.Module:
    return decoder.embedding if decoder.head is None else decoder.head


def _matrices(block: Block) -> dict[int, nn.Module]:
    """Return the matrices of a layer by their places."""
    attention, inside = _attention(block), block.feed_forward
    assert isinstance(inside, SwiGLU | MLP)
    matrices: dict[int, nn.Module] = {
        places.QUERY: attention.query,
        places.KEY: attention.key,
        places.VALUE: attention.value,
        places.OUTPUT: attention.output,
        places.UP: inside.up,
        places.DOWN: inside.down,
    }
    return matrices | ({places.GATE: inside.gate} if isinstance(inside, SwiGLU) else {})


def _kind(part: nn.Module) -> torch.dtype:
    """Return the number format of a matrix."""
    return _stored(part)[0].dtype


def _sizes(decoder: Decoder, chunks: int, block_size: int) -> StepSizes:
    config, attention, inside = decoder.config, grouped(decoder.config), decoder.config.feed_forward
    assert isinstance(inside, SwiGLUConfig | MLPConfig)
    like = config.norm if isinstance(config.norm, RMSNormConfig) else RMSNormConfig()  # of queries and keys
    values, rope = config.values, config.positions
    return StepSizes(
        layers=config.layers,
        width=config.width,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        head_dim=attention.head_dim,
        hidden=inside.hidden,
        vocabulary=config.vocabulary_size,
        half=decoder.rope_cos.size(1) if isinstance(rope, RopeConfig) else 0,
        norm=parts.RMS if isinstance(config.norm, RMSNormConfig) else parts.LAYER,
        eps=float(config.norm.eps),
        norm_offset=float(isinstance(config.norm, RMSNormConfig) and config.norm.unit_offset),
        norm_before=int(config.norm_places != "after"),
        norm_after=int(config.norm_places != "before"),
        qk_norm=0 if not attention.qk_norm else 2 if attention.qk_norm_rotated else 1,
        qk_eps=float(like.eps),
        qk_offset=float(like.unit_offset),
        scale=float(attention.query_scale or 1 / math.sqrt(attention.head_dim)),
        softcap=float(attention.softcap or 0.0),
        activation=ACTIVATIONS[inside.activation],
        gated=int(isinstance(inside, SwiGLUConfig)),
        logit_softcap=float(config.logit_softcap or 0.0),
        gate_channels=min(values.gate_channels, config.width) if isinstance(values, ValueEmbeddingConfig) else 0,
        chunks=chunks,
        block_size=block_size,
    )
