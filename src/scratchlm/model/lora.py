"""Low-rank adapters beside the matrices of a decoder: added, chosen, switched off, merged (see `LoRAConfig`)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.base.errors import UserError
from scratchlm.model.attention.base import Attention
from scratchlm.model.attention.grouped import ValueEmbedding
from scratchlm.model.decoder import Decoder
from scratchlm.model.feedforward import MLP, SwiGLU
from scratchlm.model.fourbit import FourBit, pack, product
from scratchlm.model.loraconfig import LoRAConfig

OWNERS = (Attention, ValueEmbedding, SwiGLU, MLP)
"""Parts of a block whose matrices can have adapters; a target is a matrix by the name of its attribute."""


class AdaptedLinear(nn.Linear):
    """A linear layer that keeps its weight and has adapters by name, of which one or none is in use.

    The weight may be held in four bits; `weight` then has no memory.
    """

    def __init__(self, base: nn.Linear) -> None:
        nn.Module.__init__(self)  # takes the tensors over instead of making its own
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.lora_a, self.lora_b = nn.ParameterDict(), nn.ParameterDict()
        self.scales: dict[str, float] = {}
        self.active: str | None = None
        self.packed: FourBit | None = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdaptedLinear:
        """Move or cast all tensors, those in four bits too; a weight without memory stays as it is."""
        if self.packed is None:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
            return self
        weight, self._parameters["weight"] = self._parameters["weight"], None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._parameters["weight"] = weight
        self.packed = FourBit(fn(self.packed.codes), fn(self.packed.scales), self.packed.shape)
        return self

    def forward(self, input: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """Return what the weight answers and, with an adapter in use, what it adds."""
        if self.packed is None:
            answer = F.linear(input, self.weight, self.bias)
        else:
            answer = product(input, self.packed)
            answer = answer if self.bias is None else answer + self.bias.to(answer.dtype)
        if self.active is None:
            return answer
        narrow = F.linear(input, self.lora_a[self.active])  # (*batch, rank)
        return answer + F.linear(narrow, self.lora_b[self.active]) * self.scales[self.active]

    def matrix(self) -> Float[Tensor, "O I"]:
        """Return the matrix that it multiplies by: the weight, and what the adapter in use adds."""
        weight = self.weight if self.packed is None else self.packed.unpacked(torch.float32)
        if self.active is None:
            return weight
        return weight + self.lora_b[self.active] @ self.lora_a[self.active] * self.scales[self.active]


def pack_base(decoder: Decoder) -> None:
    """Hold the weights that have adapters in four bits from now on."""
    for layer in adapted(decoder).values():
        if layer.packed is None:
            layer.packed = pack(layer.weight)
            layer.weight = nn.Parameter(torch.empty_like(layer.weight, device="meta"), requires_grad=False)


def unpack_base(decoder: Decoder) -> None:
    """Give the weights that are held in four bits back their memory: the values that they stood for."""
    for layer in adapted(decoder).values():
        if layer.packed is not None:
            layer.weight = nn.Parameter(layer.packed.unpacked(layer.weight.dtype), requires_grad=False)
            layer.packed = None


def adapted(decoder: Decoder) -> dict[str, AdaptedLinear]:
    """Return the layers that have adapters by the names of their modules."""
    return {name: part for name, part in decoder.named_modules() if isinstance(part, AdaptedLinear)}


def adapters(decoder: Decoder) -> list[str]:
    """Return the names of a decoder's adapters, in the order in which they came."""
    return list(dict.fromkeys(name for part in adapted(decoder).values() for name in part.scales))


def add_adapter(decoder: Decoder, name: str, config: LoRAConfig, seed: int = 0) -> None:
    """Give a decoder an adapter that changes nothing yet, and use it: A is drawn uniformly, B is zero.

    The draw is torch's of a linear layer, as in the paper's code. Raises `UserError` for a name that is taken or is no
    identifier, and where no layer has one of the targets.
    """
    if name in adapters(decoder) or not name.isidentifier():
        raise UserError(f"adapter {name!r}: give it a name of letters and digits that no other adapter has")
    generator = torch.Generator().manual_seed(seed)
    blocks = decoder.blocks[config.first_layer :]
    if not len(blocks):
        raise UserError(f"lora.first_layer is {config.first_layer}: the last layer is {len(decoder.blocks) - 1}")
    for owner in [part for block in blocks for part in block.modules() if isinstance(part, OWNERS)]:
        for kind, part in list(owner.named_children()):
            if kind not in config.targets or not isinstance(part, nn.Linear):
                continue
            layer = part if isinstance(part, AdaptedLinear) else AdaptedLinear(part)
            setattr(owner, kind, layer)
            bound = 1 / math.sqrt(layer.in_features)
            drawn = torch.rand(config.rank, layer.in_features, generator=generator) * 2 * bound - bound
            device = layer.weight.device if layer.packed is None else layer.packed.codes.device
            layer.lora_a[name] = nn.Parameter(drawn.to(device))
            layer.lora_b[name] = nn.Parameter(torch.zeros(layer.out_features, config.rank, device=device))
            layer.scales[name] = config.scale
    if name not in adapters(decoder):
        raise UserError(f"lora.targets {', '.join(config.targets)}: no layer of this model has one of them")
    use_adapter(decoder, name)


def use_adapter(decoder: Decoder, name: str | None) -> None:
    """Choose the adapter that answers from now on; None switches all off. An unknown name is a `UserError`."""
    known = adapters(decoder)
    if name is not None and name not in known:
        raise UserError(f"adapter {name!r}: this model has {', '.join(known) or 'none'}")
    for layer in adapted(decoder).values():
        layer.active = name if name in layer.scales else None


def with_own_modules(decoder: Decoder) -> Decoder:
    """Return a decoder of the very same tensors, not copied, in modules of its own.

    So it keeps its adapter whatever is chosen for the first, and hooks on it see its own calls alone. Costs a few
    objects a layer. It does not see layers that the first is given or loses afterwards.
    """
    return copy.deepcopy(decoder, {id(each): each for each in _tensors(decoder)})


def answers_alike(first: Decoder, second: Decoder) -> bool:
    """Return whether two decoders have the very same tensors and adapters in use."""
    tensors = ([id(each) for each in _tensors(decoder)] for decoder in (first, second))
    chosen = ([layer.active for layer in adapted(decoder).values()] for decoder in (first, second))
    return next(tensors) == next(tensors) and next(chosen) == next(chosen)


def _tensors(decoder: Decoder) -> list[object]:
    packed = (layer.packed for layer in adapted(decoder).values() if layer.packed is not None)
    return [*decoder.parameters(), *decoder.buffers(), *packed]


@contextmanager
def without_adapter(decoder: Decoder) -> Iterator[None]:
    """Switch all adapters off for a while: the model as it was before they learned."""
    layers = adapted(decoder).values()
    before = [layer.active for layer in layers]
    use_adapter(decoder, None)
    try:
        yield
    finally:
        for layer, active in zip(layers, before, strict=True):
            layer.active = active


@torch.no_grad()
def merge_adapter(decoder: Decoder, name: str) -> None:
    """Add an adapter's product to the weights and drop the adapter: the model answers as before, at its old speed.

    Raises `UserError` for a name that the decoder does not have, as after a first merge.
    """
    if name not in adapters(decoder):
        raise UserError(f"adapter {name!r}: this model has none of that name; it may be merged already")
    unpack_base(decoder)
    for layer in adapted(decoder).values():
        if name in layer.scales:
            layer.weight += (layer.lora_b[name] @ layer.lora_a[name]) * layer.scales[name]
    remove_adapter(decoder, name)


def remove_adapter(decoder: Decoder, name: str) -> None:
    """Drop an adapter; a layer without any becomes a plain one again."""
    for path, layer in adapted(decoder).items():
        if name in layer.scales:
            del layer.lora_a[name], layer.lora_b[name], layer.scales[name]
            layer.active = None if layer.active == name else layer.active
        if not layer.scales:
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
            plain.weight, plain.bias = layer.weight, layer.bias
            decoder.set_submodule(path, plain)


def freeze(decoder: Decoder, trained: str | None = None, *, layers: int = 0) -> None:
    """Choose what training changes: with `trained` that adapter alone, else all from block number `layers` on.

    A head of classes is always trained. With `layers` above 0 the embedding, with a head that is tied to it, and the
    first blocks stay as they are.
    """
    decoder.requires_grad_(trained is None and layers == 0)
    if trained is not None:
        for layer in adapted(decoder).values():
            if trained in layer.scales:
                layer.lora_a[trained].requires_grad_(True)
                layer.lora_b[trained].requires_grad_(True)
    elif layers > 0:
        for part in (*decoder.blocks[layers:], decoder.final_norm, *([] if decoder.head is None else [decoder.head])):
            part.requires_grad_(True)
    if decoder.classifier is not None:
        decoder.classifier.requires_grad_(True)
