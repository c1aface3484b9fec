"""The values of a forward pass that can be seen and changed: their names, as in TransformerLens, and their axes.

Layers and heads count from 0, as in every array. A name in full is `blocks.3.attn.hook_pattern`; in a list of wanted
ones it may have wildcards (`blocks.*.hook_mlp_out`), or leave out the layer, which means all of them:
`attn.hook_pattern`, `hook_pattern` or `pattern`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.model.config import ExpertsConfig, LatentAttentionConfig, LearnedPositionsConfig, MLPConfig, RopeConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.feedforward import FeedForward

AXES = {
    "B": "texts", "T": "positions", "S": "positions seen", "D": "channels of the stream", "H": "heads",
    "K": "key-value heads", "E": "channels of a key", "F": "channels of a value", "N": "neurons", "X": "experts",
    "V": "tokens of the vocabulary",
}  # fmt: skip
ATTENTION = {
    "hook_resid_pre": "B T D",
    "ln1.hook_out": "B T D",
    "attn.hook_q": "B T H E",
    "attn.hook_k": "B T K E",
    "attn.hook_v": "B T K F",
    "attn.hook_rot_q": "B T H E",
    "attn.hook_rot_k": "B T K E",
    "attn.hook_attn_scores": "B H T S",
    "attn.hook_pattern": "B H T S",
    "attn.hook_z": "B T H F",
    "attn.hook_result": "B T H D",
    "hook_attn_out": "B T D",
    "hook_resid_mid": "B T D",
    "ln2.hook_out": "B T D",
}
"""Of a layer, up to what its feed-forward reads. `hook_rot_` is after rotation, `hook_z` before the output projection,
`hook_result` a head's part of what attention adds to the stream."""
LAST = "ln_final.hook_out"
"""What the head reads."""
NEURONS = {"mlp.hook_pre": "B T N", "mlp.hook_pre_linear": "B T N", "mlp.hook_post": "B T N"}
"""Before the activation (of a gated layer the gate, then what it multiplies), and what the last matrix reads."""
EXPERTS = {"mlp.hook_expert_weights": "B T X"}
END = {"hook_mlp_out": "B T D", "hook_resid_post": "B T D"}


def points(decoder: Decoder) -> dict[str, str]:
    """Return the names of all values of a model, in the order in which they are computed, with their axes."""
    config = decoder.config
    names = {"hook_embed": "B T D"}
    if isinstance(config.positions, LearnedPositionsConfig):
        names["hook_pos_embed"] = "B T D"
    for layer, block in enumerate(decoder.blocks):
        inside: Mapping[str, str] = {}
        if isinstance(getattr(block, "feed_forward", None), FeedForward):
            inside = EXPERTS if isinstance(config.feed_forward, ExpertsConfig) else NEURONS
        of_layer = {**ATTENTION, **inside, **END}
        for name in _absent(decoder):
            of_layer.pop(name, None)
        names |= {f"blocks.{layer}.{name}": axes for name, axes in of_layer.items()}
    return names | {LAST: "B T D", "logits": "B T V"}


def _absent(decoder: Decoder) -> list[str]:
    """Return the names of a layer that a kind of model does not have."""
    config = decoder.config
    absent = [] if isinstance(config.positions, RopeConfig) else ["attn.hook_rot_q", "attn.hook_rot_k"]
    return [*absent, "mlp.hook_pre_linear"] if isinstance(config.feed_forward, MLPConfig) else absent


def chosen_points(decoder: Decoder, wanted: Sequence[str]) -> list[str]:
    """Return the full names of what is wanted, in order. Raises `UserError` for every name that the model lacks."""
    known = points(decoder)
    chosen, problems = set[str](), list[str]()
    for each in wanted:
        matching = [name for name in known if _matches(name, each)]
        chosen.update(matching)
        if not matching:
            problems.append(_unknown(each, known, len(decoder.blocks)))
    raise_all(problems)
    return [name for name in known if name in chosen]


def _matches(name: str, wanted: str) -> bool:
    of_layer, last = name.split(".", 2)[-1], name.rsplit(".", 1)[-1]
    return fnmatchcase(name, wanted) or wanted in (of_layer, last, last.removeprefix("hook_"))


def _unknown(wanted: str, known: Mapping[str, str], layers: int) -> str:
    """Return what is wrong with a name."""
    parts = wanted.split(".")
    if parts[0] == "blocks" and len(parts) > 2 and parts[1].isdigit() and int(parts[1]) >= layers:
        return f"{wanted}: layer {parts[1]} is missing; this model has layers 0 to {layers - 1}"
    shorts = {name.split(".", 2)[-1] if name.startswith("blocks.") else name: None for name in known}
    return f"{wanted}: no value of this model has this name; {nearest(wanted, shorts)}"


def size_of(decoder: Decoder, name: str, rows: int, new: int, seen: int) -> int:
    """Return how many numbers a value has for `rows` texts of `new` positions that see `seen` ones."""
    config = decoder.config
    attention, inside = config.attention, config.feed_forward
    shared = attention.heads if isinstance(attention, LatentAttentionConfig) else attention.kv_heads
    sizes = {
        "B": rows, "T": new, "S": seen, "D": config.width, "V": config.vocabulary_size, "H": attention.heads,
        "K": shared, "E": attention.key_dim, "F": attention.value_dim,
    }  # fmt: skip
    sizes |= {"X": inside.experts} if isinstance(inside, ExpertsConfig) else {"N": inside.hidden}
    return math.prod(sizes[axis] for axis in points(decoder)[name].split())


def require_points(decoder: Decoder, wanted: Sequence[str], view: str) -> None:
    """Refuse a view of a model that lacks a value it needs, in a sentence that names the view. Raises `UserError`."""
    known = points(decoder)
    missing = [each for each in wanted if not any(_matches(name, each) for name in known)]
    if missing:
        raise UserError(f"{view}: this model has no {', '.join(missing)}")
