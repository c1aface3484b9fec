"""The trace of a forward pass: what it shows, what its edits change, and what it refuses."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchlm.base.errors import UserError
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.points import points, size_of
from scratchlm.inspection.trace import Trace, trace
from scratchlm.model.attention.scaled_dot_product import naive_attention
from scratchlm.model.cache import KVCache
from scratchlm.model.config import ExpertsConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import add_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantized import pack, quantizable, replace
from toys import TOYS, VOCABULARY, random_decoder, toy_config

IDS = torch.randint(0, VOCABULARY, (2, 10), generator=torch.Generator().manual_seed(0))
ALL = ["*"]


def toy(name: str) -> Decoder:
    if name == "experts":
        experts = ExpertsConfig(hidden=16, experts=4, chosen=2)
        return random_decoder(dataclasses.replace(toy_config("default"), feed_forward=experts))
    decoder = random_decoder(toy_config(name.removesuffix(", adapted").removesuffix(", quantized")))
    if name.endswith("adapted"):
        add_adapter(decoder, "own", LoRAConfig(rank=2), seed=0)
        for part in decoder.modules():
            if isinstance(part, nn.ParameterDict):
                for each in part.values():
                    nn.init.normal_(each, std=0.1)
    if name.endswith("quantized"):
        for name, part in quantizable(decoder).items():
            replace(decoder, name, pack(name, part, "int8"))
    return decoder


KINDS = (*TOYS, "latent", "experts", "default, adapted", "default, quantized")


@pytest.mark.parametrize("kind", KINDS)
def test_watching_changes_no_bit_and_every_value_has_its_shape(kind: str) -> None:
    decoder = toy(kind)
    with torch.no_grad():
        plain = decoder(IDS)
    found = trace(decoder, IDS, ALL)
    assert torch.equal(found.logits, plain)
    assert list(found) == list(points(decoder))
    for name, axes in points(decoder).items():
        assert found[name].dim() == len(axes.split()), name
        assert found[name].numel() == size_of(decoder, name, *IDS.shape, IDS.size(1)), name
    assert found.nbytes == sum(value.nbytes for value in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_parts_sum_to_the_stream(kind: str) -> None:
    decoder = toy(kind)
    seen = trace(decoder, IDS, ALL)
    for layer in range(len(decoder.blocks)):
        prefix = f"blocks.{layer}."
        of = {name.removeprefix(prefix): value for name, value in seen.items() if name.startswith(prefix)}
        torch.testing.assert_close(of["hook_resid_pre"] + of["hook_attn_out"], of["hook_resid_mid"])
        torch.testing.assert_close(of["hook_resid_mid"] + of["hook_mlp_out"], of["hook_resid_post"])
        v = of["attn.hook_v"].transpose(1, 2)
        v = v.repeat_interleave(of["attn.hook_pattern"].size(1) // v.size(1), 1)
        torch.testing.assert_close(
            (of["attn.hook_pattern"] @ v).transpose(1, 2), of["attn.hook_z"], rtol=1e-4, atol=1e-5
        )
        if decoder.config.norm_places == "before":
            bias = decoder.blocks[layer].attention.output(torch.zeros_like(of["attn.hook_z"][:1, :1].flatten(2)))
            torch.testing.assert_close(of["attn.hook_result"].sum(2) + bias, of["hook_attn_out"], rtol=1e-4, atol=1e-4)


def test_attention_is_the_naive_sum_of_what_the_trace_shows() -> None:
    decoder = toy("default")
    seen = trace(decoder, IDS, ["rot_q", "rot_k", "v", "z"])
    q, k, v = (seen[f"blocks.0.attn.hook_{name}"].transpose(1, 2) for name in ("rot_q", "rot_k", "v"))
    torch.testing.assert_close(
        naive_attention(q, k, v, None, causal=True).transpose(1, 2), seen["blocks.0.attn.hook_z"]
    )


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_a_value_patched_with_itself_changes_nothing(kind: str, data: st.DataObject) -> None:
    decoder = toy(kind)
    name = data.draw(st.sampled_from(list(points(decoder))))
    plain = trace(decoder, IDS, [name, "logits"])
    patched = trace(decoder, IDS, [name, "logits"], Edit.patch(plain, name))
    torch.testing.assert_close(patched.logits, plain.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(patched[name], plain[name], rtol=0, atol=0)


def test_a_patch_of_the_whole_stream_gives_the_other_answer() -> None:
    decoder, other = toy("default"), IDS.flip(0)
    source = trace(decoder, other, ["blocks.1.hook_resid_pre", "logits"])
    patched = trace(decoder, IDS, edit=Edit.patch(source, "blocks.1.hook_resid_pre"))
    torch.testing.assert_close(patched.logits, source.logits)


def test_edits_of_heads_positions_and_channels_change_those_alone() -> None:
    decoder = toy("default")
    name = "blocks.0.attn.hook_z"
    plain = trace(decoder, IDS, [name])[name]
    edited = trace(decoder, IDS, [name], Edit.zero(name, heads=[1], positions=[3, -1], channels=[0]))[name]
    changed = (edited != plain).nonzero().tolist()
    assert changed == [[row, place, 1, 0] for row in range(2) for place in (3, 9)]
    assert torch.equal(trace(decoder, IDS, [name], Edit.scale(name, 2.0))[name], 2 * plain)
    mean = trace(decoder, IDS, [name], Edit.mean(name))[name]
    torch.testing.assert_close(mean, plain.mean(1, keepdim=True).expand_as(plain))


def test_without_a_head_the_rest_is_what_its_result_leaves() -> None:
    decoder = toy("default")
    plain = trace(decoder, IDS, ["blocks.1.attn.hook_result", "blocks.1.hook_attn_out"])
    without = trace(decoder, IDS, ["blocks.1.hook_attn_out"], Edit.zero("blocks.1.attn.hook_z", heads=[2]))
    expected = plain["blocks.1.hook_attn_out"] - plain["blocks.1.attn.hook_result"][:, :, 2]
    torch.testing.assert_close(without["blocks.1.hook_attn_out"], expected)


def test_edited_scores_and_weights_reach_the_output() -> None:
    decoder = toy("default")
    blind = trace(decoder, IDS, ["pattern", "z"], Edit.replace("blocks.0.attn.hook_pattern", torch.zeros(())))
    assert blind["blocks.0.attn.hook_z"].abs().max() == 0
    equal = trace(decoder, IDS, ["pattern"], Edit.zero("blocks.0.attn.hook_attn_scores"))
    among = torch.tril(torch.ones(10, 10)) / torch.arange(1, 11)[:, None]  # no edit shows a query what comes later
    torch.testing.assert_close(equal["blocks.0.attn.hook_pattern"], among.expand(2, 4, 10, 10))


@pytest.mark.parametrize("edit", [
    Edit.zero("blocks.0.attn.hook_attn_scores"), Edit.scale("blocks.0.attn.hook_attn_scores", 0.0),
    Edit.mean("blocks.0.attn.hook_pattern"), Edit.replace("blocks.0.attn.hook_pattern", torch.ones(())),
])  # fmt: skip
def test_an_edit_of_attention_shows_no_later_token(edit: Edit) -> None:
    decoder, other = toy("default"), IDS.clone()
    other[:, -1] += 1
    one, two = (trace(decoder, ids, edit=edit).logits[:, :-1] for ids in (IDS, other))
    assert one.isfinite().all()
    if edit.change != "mean":  # a mean over queries holds those of later ones
        assert torch.equal(one, two)


@pytest.mark.parametrize("kind", ["default", "latent", "speedrun", "gpt2"])
def test_a_cache_continues_what_was_traced(kind: str) -> None:
    decoder = toy(kind)
    whole = trace(decoder, IDS, ["pattern", "resid_post", "logits"])
    cache = KVCache(IDS.size(1))
    first = trace(decoder, IDS[:, :6], ["logits"], cache=cache)
    then = trace(decoder, IDS[:, 6:], ["pattern", "resid_post", "logits"], cache=cache)
    torch.testing.assert_close(torch.cat([first.logits, then.logits], 1), whole.logits, rtol=1e-4, atol=1e-4)
    for name in then:
        value = whole[name][:, :, 6:] if "pattern" in name else whole[name][:, 6:]
        torch.testing.assert_close(then[name], value, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_values() -> None:
    decoder = toy("default")
    seen = trace(decoder, IDS, ["hook_embed", "blocks.1.hook_resid_pre", "logits"], differentiable=True)
    of_embed, of_stream = torch.autograd.grad(
        seen.logits[0, -1, 3], [seen["hook_embed"], seen["blocks.1.hook_resid_pre"]]
    )
    step = 1e-2 * of_stream / of_stream.norm()
    moved = trace(
        decoder, IDS, edit=Edit.replace("blocks.1.hook_resid_pre", seen["blocks.1.hook_resid_pre"].detach() + step)
    )
    gain = (moved.logits - seen.logits.detach())[0, -1, 3].item()
    assert gain == pytest.approx(1e-2 * float(of_stream.norm()), rel=0.1)
    assert of_embed.abs().max() > 0
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_many_threads_trace_and_write_with_one_model() -> None:
    decoder = toy("default")
    with torch.no_grad():
        plain = decoder(IDS)
    blind = trace(decoder, IDS, edit=Edit.zero("hook_attn_out")).logits
    wrong: list[str] = []

    def work(edited: bool) -> None:
        for _ in range(20):
            found = trace(decoder, IDS, edit=Edit.zero("hook_attn_out") if edited else ()).logits
            if not torch.equal(found, blind if edited else plain):
                wrong.append(f"edited {edited}")

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert not torch.allclose(blind, plain)


def test_a_model_in_training_is_traced_without_dropout_and_stays_in_training() -> None:
    decoder = random_decoder(dataclasses.replace(toy_config("default"), dropout=0.5)).train()
    assert torch.equal(trace(decoder, IDS).logits, trace(decoder, IDS).logits)
    assert decoder.training


MISSING = {
    "blocks.7.attn.hook_z": "layer 7 is missing; this model has layers 0 to 1",
    "hook_resid_prr": "did you mean 'hook_resid_pre'",
    "mlp.hook_expert_weights": "no value of this model has this name",
}


def test_names_that_a_model_lacks_are_refused_together() -> None:
    with pytest.raises(UserError) as caught:
        trace(toy("default"), IDS, list(MISSING))
    for name, words in MISSING.items():
        assert f"{name}: " in str(caught.value)
        assert words in str(caught.value)


@pytest.mark.parametrize(("edit", "words"), [
    (Edit.zero("blocks.0.attn.hook_z", heads=[4]), "4 of the heads are missing; there are 0 to 3"),
    (Edit.zero("blocks.0.hook_resid_pre", heads=[0]), "has no heads"),
    (Edit.zero("blocks.0.hook_resid_pre", positions=[10, 12]), "10, 12 of the positions are missing"),
    (Edit.replace("blocks.0.hook_resid_pre", torch.zeros(3)), r"has shape \(3,\), the value \(2, 10, 32\)"),
])  # fmt: skip
def test_an_edit_that_does_not_fit_is_refused(edit: Edit, words: str) -> None:
    with pytest.raises(UserError, match=words):
        trace(toy("default"), IDS, edit=edit)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlm.base.memory.available_memory", lambda: 1 << 30)
    decoder = Decoder(toy_config("default", context=20_000))
    with pytest.raises(UserError, match=r"a trace of 2 values: needs about 12.8 GB .*want fewer names"):
        trace(decoder, torch.zeros(1, 20_000, dtype=torch.long), ["pattern"])


def test_texts_that_cannot_be_read_are_refused() -> None:
    decoder = toy("default")
    too_long = torch.zeros(1, 25, dtype=torch.long)
    wrong = {"25 tokens; this model reads 24": too_long, "not in the vocabulary": IDS + VOCABULARY}
    for words, text in {**wrong, "by positions": IDS[0], "no tokenizer": "a"}.items():
        with pytest.raises(UserError, match=words):
            trace(decoder, text)  # type: ignore[arg-type]


def test_a_patch_needs_its_value() -> None:
    with pytest.raises(UserError, match="does not hold it"):
        Edit.patch(trace(toy("default"), IDS), "blocks.0.hook_resid_pre")
    assert isinstance(trace(toy("default"), IDS), Trace)
