"""Direct logit attribution: what each part of a model adds, by itself, to the score of a token.

The last layer's stream is a sum: the embedding, and what each attention head and each feed-forward added. The final
norm divides all of it by one number; with that number held, the score is a sum too, and every part has its share.
Indirect effects, of a part through later parts, are not in it: ablation shows them. Source: Elhage et al. 2021, "A
Mathematical Framework for Transformer Circuits".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.base.errors import UserError
from scratchlm.inspection.points import points
from scratchlm.inspection.prediction import Prediction
from scratchlm.inspection.trace import Trace
from scratchlm.model.decoder import Block, Decoder
from scratchlm.model.lora import AdaptedLinear
from scratchlm.model.norms import LayerNorm, RMSNorm

NEEDED = ("hook_embed", "hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_result")


@dataclass(frozen=True)
class Attribution:
    """Shares of a logit, before a softcap. All of them and `rest` sum to `logit`."""

    embedding: float
    """Of what the first layer reads: tokens and positions."""
    heads: Float[Tensor, "L H"]
    attention_bias: Float[Tensor, " L"]
    feed_forward: Float[Tensor, " L"]
    rest: float
    """Of the final norm's bias."""
    logit: float
    """The score itself, from the final norm and the head."""

    @property
    def total(self) -> float:
        """The sum of all shares."""
        parts = self.heads.sum() + self.attention_bias.sum() + self.feed_forward.sum()
        return self.embedding + self.rest + float(parts)


def without_divisor(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what a norm does with an addend apart from its divisor. Raises `UserError` for a norm of another kind."""
    if isinstance(norm, nn.Identity):
        return lambda part: part
    if isinstance(norm, RMSNorm):
        weight = 1.0 if norm.weight is None else norm.weight.float() + (1.0 if norm.unit_offset else 0.0)
        return lambda part: part * weight
    if isinstance(norm, LayerNorm):
        scale = norm.weight.float()
        return lambda part: (part - part.mean(-1, keepdim=True)) * scale
    raise UserError(f"attribution: the norm {type(norm).__name__} is not one of this package; its shares are unknown")


def held(norm: nn.Module, x: Float[Tensor, "*batch D"]) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return what a norm does with each addend of `x`, its divisor held at that of `x`; and the bias it adds.

    `norm(x)` is the sum of that over the addends, and the bias. Raises `UserError` for a norm of another kind.
    """
    apply, bias, divisor = without_divisor(norm), x.new_zeros(x.size(-1)), x.new_ones(())
    if isinstance(norm, RMSNorm):
        divisor = (x.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    if isinstance(norm, LayerNorm):
        divisor = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
        bias = bias if norm.bias is None else norm.bias.detach().float()
    return lambda part: apply(part) / divisor, bias


@torch.no_grad()
def attribute(prediction: Prediction, other: int | None = None) -> Attribution:
    """Return the shares of the logit of the token in question; with `other`, of its logit less the other's."""
    decoder = prediction.decoder
    seen = prediction.watch(*NEEDED)
    final = seen[f"blocks.{decoder.config.layers - 1}.hook_resid_post"][0, -1].float()
    direction, rest, logit = _direction(decoder, final, prediction.target, other)
    later = _scales(decoder)
    heads, biases, feed_forward = [], [], []
    for layer in range(decoder.config.layers):
        block = decoder.blocks[layer]
        assert isinstance(block, Block)
        prefix, scale = f"blocks.{layer}.", later[layer + 1]
        results = seen[prefix + "attn.hook_result"][0, -1].float()  # (H, D)
        added = seen[prefix + "hook_attn_out"][0, -1].float()
        through = _through(block.attention_out_norm, results, added, block)
        heads.append(scale * through @ direction)
        biases.append(scale * added @ direction - heads[-1].sum())
        feed_forward.append(scale * seen[prefix + "hook_mlp_out"][0, -1].float() @ direction)
    embedding = float(_embedded(decoder, seen, later) @ direction)
    return Attribution(embedding, torch.stack(heads), torch.stack(biases), torch.stack(feed_forward), rest, logit)


@torch.no_grad()
def attribute_neurons(prediction: Prediction, other: int | None = None) -> Float[Tensor, "L N"]:
    """Return the shares of each neuron: its activation times what its output says. Raises `UserError` for experts."""
    decoder = prediction.decoder
    if "blocks.0.mlp.hook_post" not in points(decoder):
        raise UserError("neurons: this model's feed-forward has no single set of neurons; see the layers instead")
    seen = prediction.watch("hook_post", "hook_mlp_out", f"blocks.{decoder.config.layers - 1}.hook_resid_post")
    final = seen[f"blocks.{decoder.config.layers - 1}.hook_resid_post"][0, -1].float()
    direction, _, _ = _direction(decoder, final, prediction.target, other)
    later, shares = _scales(decoder), []
    for layer in range(decoder.config.layers):
        block = decoder.blocks[layer]
        assert isinstance(block, Block)
        down = output_matrix(block)  # (D, N)
        post = seen[f"blocks.{layer}.mlp.hook_post"][0, -1].float()
        bias = getattr(getattr(block.feed_forward, "down", None), "bias", None)
        raw = down @ post + (0.0 if bias is None else bias.float())
        through, _ = held(block.feed_forward_out_norm, raw)
        shares.append(later[layer + 1] * post * (through(down.T) @ direction))
    return torch.stack(shares)


def output_matrix(block: Block) -> Float[Tensor, "D N"]:
    """Return by what a feed-forward's neurons are multiplied, with the adapter in use."""
    down = getattr(block.feed_forward, "down", None)
    return (down.matrix() if isinstance(down, AdaptedLinear) else block.feed_forward.last_matrix).float()


def _direction(
    decoder: Decoder, final: Float[Tensor, " D"], target: int, other: int | None
) -> tuple[Float[Tensor, " D"], float, float]:
    """Return by what the last stream's parts are multiplied, the share of the norm's bias, and the logit."""
    rows = decoder.head_weight.float()
    wanted = rows[target] if other is None else rows[target] - rows[other]
    through, bias = held(decoder.final_norm, final)
    basis = through(torch.eye(final.numel(), device=final.device))  # (D, D): what becomes of each channel
    return basis @ wanted, float(bias @ wanted), float(decoder.final_norm(final.to(decoder.dtype)).float() @ wanted)


def _through(norm: nn.Module, results: Tensor, added: Tensor, block: Block) -> Tensor:
    """Return the heads' parts as the stream gets them, after a norm behind attention where a model has one."""
    if isinstance(norm, nn.Identity):
        return results
    bias = getattr(block.attention.output, "bias", None)
    through, _ = held(norm, results.sum(0) + (0.0 if bias is None else bias.float()))
    return through(results)


def _scales(decoder: Decoder) -> list[float]:
    """Return by what each layer's input is multiplied on its way to the end; the last is 1."""
    mixed, scales = decoder.x0_residual, [1.0]
    for layer in reversed(range(decoder.config.layers)):
        scales.insert(0, scales[0] * (1.0 if mixed is None else float(mixed.stream_scale[layer])))
    return scales


def _embedded(decoder: Decoder, seen: Trace, later: list[float]) -> Float[Tensor, " D"]:
    """Return the part of the last stream that is the embedding's."""
    places = torch.arange(seen.ids.size(1), device=decoder.device)
    embedded = decoder.placed(seen["hook_embed"], places)[0, -1].float()
    if decoder.x0_residual is None:
        return embedded
    mixed = decoder.x0_residual.embedding_scale
    again = sum(float(mixed[layer]) * later[layer + 1] for layer in range(decoder.config.layers))
    return (later[0] + again) * embedded
