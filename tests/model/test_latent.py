"""Latent attention is that of transformers' DeepSeek-V3, its two forms are equal, and everything else asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from commands import fails, run
from scratchlm.base.config import from_dict, to_dict
from scratchlm.base.errors import UserError
from scratchlm.compiled.decoder import unsupported
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.attention.latent import LatentAttention
from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.cache import KVCache
from scratchlm.model.config import AttentionConfig, DecoderConfig, LatentAttentionConfig, ValueEmbeddingConfig
from scratchlm.model.counting import sizes_of
from scratchlm.model.lora import adapters, add_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantized import pack_int8, quantizable
from scratchlm.model.quantized import replace as replace_part
from toys import CONTEXT, random_decoder, random_ids, toy_config


@pytest.mark.parametrize("query_rank", [10, None])
def test_it_equals_that_of_transformers(query_rank: int | None) -> None:
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.deepseek_v3.modeling_deepseek_v3")
    config = toy_config("latent")
    config = replace(config, attention=replace(config.attention, query_rank=query_rank))
    decoder, ids = random_decoder(config), random_ids(2, 9)
    ours, of = decoder.blocks[0].attention, config.attention
    shape = transformers.DeepseekV3Config(
        hidden_size=config.width, num_attention_heads=of.heads, num_key_value_heads=of.heads, q_lora_rank=query_rank,
        kv_lora_rank=of.latent_dim, qk_nope_head_dim=of.nope_dim, qk_rope_head_dim=of.rope_dim,
        v_head_dim=of.value_dim, rope_interleave=False, rms_norm_eps=config.norm.eps, attention_dropout=0.0,
        max_position_embeddings=CONTEXT, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )  # fmt: skip
    shape._attn_implementation = "eager"
    theirs = modeling.DeepseekV3Attention(shape, 0).eval()
    names = {"kv_a_proj_with_mqa": "latent", "kv_a_layernorm": "latent_norm", "kv_b_proj": "expand", "o_proj": "output"}
    queries = {"q_a_proj": "query_down", "q_a_layernorm": "query_norm", "q_b_proj": "query"}
    names |= {"q_proj": "query"} if query_rank is None else queries
    own = dict(ours.named_parameters())
    theirs.load_state_dict({f"{name}.weight": own[f"{mine}.weight"] for name, mine in names.items()})
    for norm in (theirs.kv_a_layernorm, *([] if query_rank is None else [theirs.q_a_layernorm])):
        norm.variance_epsilon = config.norm.eps
    x = decoder.embedding(ids)
    cos, sin = decoder.rotation(torch.arange(9))
    whole = (torch.cat([cos, cos], -1)[None], torch.cat([sin, sin], -1)[None])
    hidden = torch.full((9, 9), float("-inf")).triu(1)[None, None]
    expected, _ = theirs(x, whole, hidden)
    found = ours(x, AttentionContext(ids, (cos, sin)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_reading_latent_vectors_as_they_are_equals_expanding_them() -> None:
    decoder, ids = random_decoder(toy_config("latent")), random_ids(2, CONTEXT)
    cache = KVCache(CONTEXT)
    absorbed = torch.cat([decoder(part, cache) for part in ids.split(5, dim=1)], dim=1)
    torch.testing.assert_close(absorbed, decoder(ids), rtol=1e-4, atol=1e-4)


def test_a_cache_keeps_one_vector_a_position_however_many_heads_there_are() -> None:
    config = toy_config("latent")
    assert sizes_of(config).cache_numbers == config.layers * (12 + 4)
    more = replace(config, attention=replace(config.attention, heads=16))
    assert sizes_of(more).cache_numbers == config.layers * (12 + 4)
    ((tensor,), _) = Blocks(random_decoder(config), 3).tensors
    assert tensor.shape == (3, 1, BLOCK, 16)


def test_the_forms_are_equal_with_adapters_and_in_int8_too() -> None:
    decoder, ids = random_decoder(toy_config("latent")), random_ids(1, 12)
    add_adapter(decoder, "own", LoRAConfig(rank=2, targets=("query", "expand", "output")))
    assert adapters(decoder) == ["own"]
    with torch.no_grad():
        for part in decoder.modules():
            for weight in getattr(part, "lora_b", {}).values():
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    cache = KVCache(CONTEXT)
    parts = torch.cat([decoder(part, cache) for part in ids.split(4, dim=1)], dim=1)
    torch.testing.assert_close(parts, decoder(ids), rtol=1e-4, atol=1e-4)
    small = random_decoder(toy_config("latent"))
    for name, part in quantizable(small).items():
        replace_part(small, name, pack_int8(part.weight))
    cache = KVCache(CONTEXT)
    parts = torch.cat([small(part, cache) for part in ids.split(4, dim=1)], dim=1)
    torch.testing.assert_close(parts, small(ids), rtol=1e-4, atol=1e-4)


def test_a_stored_config_without_a_kind_is_grouped_query_and_one_with_it_is_read_back() -> None:
    plain = to_dict(toy_config("default"))
    assert plain["attention"].pop("type") == "grouped"
    assert from_dict(DecoderConfig, plain) == toy_config("default")
    assert from_dict(DecoderConfig, to_dict(toy_config("latent"))) == toy_config("latent")


def test_it_trains_writes_and_is_refused_where_a_format_does_not_know_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("One morning the fox found a key. Then it went home.\n\n" * 300)
    made = run(capsys, "prepare", tmp_path / "text.txt", "--out", tmp_path / "data", "--vocabulary-size", "280")
    assert made[0] == 0, made
    flags = (
        "--model.attention.type", "latent", "--model.attention.latent-dim", "16", "--training.steps", "6",
        "--training.batch-size", "2", "--training.sequence-length", "32", "--threads", "1", "--training.no-compile",
    )  # fmt: skip
    data, out = ("--data", tmp_path / "data"), tmp_path / "run"
    assert run(capsys, "pretrain", "tiny", *data, "--out", out, *flags)[0] == 0
    code, text, _ = run(capsys, "generate", out, "One", "--max-tokens", "5", "--temperature", "0")
    assert (code, bool(text.strip())) == (0, True)
    for to in ("hf", "gguf", "html"):
        told = fails(capsys, "export", out, "--to", to, "--out", tmp_path / to)
        assert "model.attention is of the kind 'latent'" in told
        assert not (tmp_path / to).exists()


def test_compiled_code_leaves_it_to_the_plain_path_and_settings_that_it_cannot_have_are_refused() -> None:
    assert unsupported(random_decoder(toy_config("latent"))) == "another attention than grouped-query"
    assert unsupported(random_decoder(toy_config("default"))) is None
    with pytest.raises(UserError, match=r"model\.values: not beside latent attention"):
        replace(toy_config("latent"), values=ValueEmbeddingConfig())
    with pytest.raises(UserError, match=r"model\.attention\.rope_dim is 5, of which 5 turn"):
        DecoderConfig(attention=LatentAttentionConfig(rope_dim=5))
    assert isinstance(random_decoder(toy_config("latent")).blocks[1].attention, LatentAttention)
    assert isinstance(toy_config("default").attention, AttentionConfig)
