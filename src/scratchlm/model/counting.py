"""How large a decoder is, counted from its shape alone: no weight is given memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import outline

BITS = {"fp32": 32.0, "bf16": 16.0, "int8": 8.5, "int4": 5.0}
"""Bits a weight takes; the last two have a scale in 16 bits for 32 weights, and int4 a minimum too."""

FLOPS_LENGTH = 4096
"""Tokens of a text in training, for attention's part of the FLOPs: few train on longer ones throughout."""

TRAINING_BYTES = 16
"""Bytes a parameter takes in training by Adam in fp32: weight, gradient, two averages."""


@dataclass(frozen=True)
class Sizes:
    """What a shape comes to."""

    parts: dict[str, int] = field(default_factory=dict)
    """Parameters by part."""
    active: int = 0
    """Parameters that one token passes through."""
    cache_numbers: int = 0
    """Numbers that the cache keeps of one token."""
    flops_per_token: float = 0.0
    """Of training on texts of `FLOPS_LENGTH` tokens: 6 for each active weight in a product, and attention."""
    context: int = 0

    @property
    def parameters(self) -> int:
        """All parameters; a tied head counts once."""
        return sum(self.parts.values())

    def weight_bytes(self) -> dict[str, int]:
        """Return the bytes of all weights at each precision."""
        return {name: int(self.parameters * bits / 8) for name, bits in BITS.items()}


def sizes_of(config: DecoderConfig) -> Sizes:
    """Count a decoder of this shape."""
    decoder = outline(config)
    parts: dict[str, int] = {}
    for name, parameter in decoder.named_parameters():
        parts[_part(name)] = parts.get(_part(name), 0) + parameter.numel()
    return Sizes(
        parts=parts,
        active=decoder.active_count(),
        cache_numbers=sum(attention.cache_numbers for attention in decoder.attentions),
        flops_per_token=decoder.flops_per_token(min(config.context, FLOPS_LENGTH)),
        context=config.context,
    )


def _part(name: str) -> str:
    """Return the part of the model that a tensor belongs to."""
    if "norm" in name:
        return "norms"
    for part in ("attention", "feed_forward"):
        if f".{part}." in name:
            return part.replace("_", "-")
    return {"embedding": "embedding", "position_embedding": "positions", "head": "head"}.get(
        name.split(".")[0], "other"
    )
