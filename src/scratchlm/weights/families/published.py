"""Architectures of published models by name, and the size of any config.json, computed without weights.

DeepSeek-V3's parts (latent attention, shared experts) are counted, not built: such a model cannot be loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import read_json
from scratchlm.base.reading import require_table
from scratchlm.model.counting import FLOPS_LENGTH, Sizes, sizes_of
from scratchlm.weights.config import published_shapes
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.known import read_shape


def sizes_of_published(model: str) -> Sizes:
    """Count a named architecture, or the config.json at the path `model`.

    Raises `UserError` for an unknown name, a missing file, and an architecture that cannot be counted.
    """
    path = Path(model)
    if path.suffix == ".json" or path.is_dir():
        path = path / "config.json" if path.is_dir() else path
        return count(require_table(read_json(path), str(path)), str(path))
    shapes = published_shapes()
    if model not in shapes:
        raise UserError(f"{model!r}: no such shape; {nearest(model, shapes)}, or name a config.json")
    return count(shapes[model], model)


def count(data: Mapping[str, Any], where: str) -> Sizes:
    """Count the parameters of a config.json."""
    if data.get("model_type") == "deepseek_v3":
        return _deepseek(Fields(data, where))
    return sizes_of(read_shape(data, where)[1])


def _deepseek(fields: Fields) -> Sizes:
    """Count DeepSeek-V3 (arXiv 2412.19437): latent attention in every layer, experts in all except the first layers."""
    width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    layers, dense = fields.integer("num_hidden_layers"), fields.integer("first_k_dense_replace", least=0)
    q_rank, kv_rank = fields.integer("q_lora_rank"), fields.integer("kv_lora_rank")
    plain, turned, value = (fields.integer(f"{name}_head_dim") for name in ("qk_nope", "qk_rope", "v"))
    experts, shared = fields.integer("n_routed_experts"), fields.integer("n_shared_experts", least=0)
    chosen, hidden = fields.integer("num_experts_per_tok"), fields.integer("moe_intermediate_size")
    vocabulary, context = fields.integer("vocab_size"), fields.integer("max_position_embeddings", 4096)
    wide = fields.integer("intermediate_size")
    fields.check()
    queries = width * q_rank + q_rank * heads * (plain + turned)
    keys = width * (kv_rank + turned) + kv_rank * heads * (plain + value)
    attention = layers * (queries + keys + heads * value * width)
    one, sparse = 3 * width * hidden, layers - dense
    router = sparse * (experts * width + experts)  # with the bias that balances the load
    feed_forward = dense * 3 * width * wide + sparse * (experts + shared) * one + router
    parts = {
        "embedding": vocabulary * width,
        "head": vocabulary * width,
        "attention": attention,
        "feed-forward": feed_forward,
        "norms": layers * (2 * width + q_rank + kv_rank) + width,
    }
    active = sum(parts.values()) - sparse * (experts - chosen) * one
    scores = 12 * layers * heads * (plain + turned + value) / 2 * min(context, FLOPS_LENGTH) / 2
    return Sizes(
        parts=parts,
        active=active,
        cache_numbers=layers * (kv_rank + turned),
        flops_per_token=6.0 * (active - parts["embedding"]) + scores,
        context=context,
    )
