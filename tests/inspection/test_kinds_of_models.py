"""Views of models that are not plain: adapters, packed weights, norms after parts, shared heads, large vocabularies."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.ablation import lead, patch, patch_path
from scratchlm.inspection.attribution import attribute, attribute_neurons
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.heads import Head
from scratchlm.inspection.lens import fit_tuned_lens, logit_lens
from scratchlm.inspection.look import VIEWS, look
from scratchlm.inspection.neighbours import neuron_tokens
from scratchlm.inspection.page.writing import write_page
from scratchlm.inspection.prediction import Prediction, predict
from scratchlm.inspection.spectra import spectra
from scratchlm.inspection.trace import trace
from scratchlm.model.config import ExpertsConfig, X0ResidualConfig
from scratchlm.model.decoder import Block, Decoder
from scratchlm.model.lora import add_adapter, pack_base
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantized import pack, quantizable, replace
from scratchlm.weights.checkpoint import SavedModel
from toys import random_decoder, toy_config
from transfer import tokenizer

WORDS = tokenizer()
TEXT, OTHER = "the fox saw", "the hat sat"
CHANGES: dict[str, dict[str, object]] = {
    "default": {},
    "both norms": {"norm_places": "both"},
    "x0": {"x0_residual": X0ResidualConfig()},
    "experts": {"feed_forward": ExpertsConfig(hidden=16, experts=4, chosen=2)},
    "larger vocabulary": {"vocabulary_size": WORDS.vocabulary_size + 40},
}


def model(kind: str = "default") -> LanguageModel:
    changes = {"vocabulary_size": WORDS.vocabulary_size, **CHANGES.get(kind, {})}
    decoder = random_decoder(toy_config("default" if kind in CHANGES else kind, **changes))
    return LanguageModel(SavedModel(decoder, WORDS))


def adapted(packed: bool) -> LanguageModel:
    own = model()
    add_adapter(own.decoder, "own", LoRAConfig(rank=32), seed=0)
    for part in own.decoder.modules():
        if isinstance(part, nn.ParameterDict):
            for each in part.values():
                nn.init.normal_(each, std=0.1)
    if packed:
        pack_base(own.decoder)
    return own


def integers(own: LanguageModel) -> LanguageModel:
    for name, part in quantizable(own.decoder).items():
        replace(own.decoder, name, pack(name, part, "int8"))
    return own


@pytest.mark.parametrize("packed", [False, True])
def test_neurons_of_an_adapted_model_sum_to_their_layer(packed: bool) -> None:
    seen = predict(adapted(packed), TEXT)
    within = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(attribute_neurons(seen).sum(1), attribute(seen).feed_forward, **within)  # type: ignore[arg-type]
    assert spectra(seen.decoder)


@pytest.mark.parametrize("kind", ["adapted", "packed", "integers"])
def test_a_page_runs_plain_weights_alone(kind: str) -> None:
    own = integers(model()) if kind == "integers" else adapted(kind == "packed")
    page = look(own, TEXT, ["attention"]).page()
    data = json.loads(page.partition('id="model">')[2].partition("</script>")[0])
    assert data["live"] is None
    assert data["readings"][0]["next"][0][1] == pytest.approx(predict(own, TEXT).likeliest(1)[0][1], abs=1e-5)


def moved_stream(seen: Prediction, source: Prediction, sender: Head) -> torch.Tensor:
    """Return what layer 1 reads when the source's part of one head of layer 0 takes its place, written out."""
    own = seen.watch("hook_resid_pre", "hook_mlp_out", "hook_attn_out", "blocks.0.attn.hook_result", "hook_embed")
    results = own["blocks.0.attn.hook_result"].clone()
    results[:, :, sender[1]] = source.watch("blocks.0.attn.hook_result")["blocks.0.attn.hook_result"][:, :, sender[1]]
    block = seen.decoder.blocks[0]
    assert isinstance(block, Block)
    changed = block.attention_out_norm(results.sum(2)) - own["blocks.0.hook_attn_out"]
    scale = 1.0 if seen.decoder.x0_residual is None else seen.decoder.x0_residual.stream_scale[1]
    return own["blocks.1.hook_resid_pre"] + scale * changed


@pytest.mark.parametrize("kind", ["default", "both norms", "x0"])
@torch.no_grad()
def test_a_path_is_what_one_head_tells_another(kind: str) -> None:
    own = model(kind)
    seen, source = predict(own, TEXT), predict(own, OTHER)
    name, output = "blocks.1.attn.hook_v", "blocks.1.attn.hook_z"
    read = trace(own, seen.ids, [name], Edit.replace("blocks.1.hook_resid_pre", moved_stream(seen, source, (0, 1))))
    mixed = trace(own, seen.ids, [output], Edit.replace(name, read[name]))[output]
    logits = trace(own, seen.ids, edit=Edit.replace(output, mixed, heads=[2])).logits[0, -1]
    base, whole, changed = (float(lead(each, seen, source)) for each in (seen.logits, source.logits, logits))
    assert patch_path(seen, source, (0, 1), (1, 2), "v") == pytest.approx((changed - base) / (whole - base), abs=1e-4)


def test_heads_that_share_values_have_paths_of_their_own() -> None:
    own = model()
    seen, source = predict(own, TEXT), predict(own, OTHER)
    assert own.decoder.config.attention.heads == 4
    one, two = (patch_path(seen, source, (0, 1), (1, head), "v") for head in (0, 1))
    assert one != two
    with pytest.raises(UserError, match="head 9 of layer 0: layers are 0 to 1, heads 0 to 3"):
        patch_path(seen, source, (0, 9), (1, 0))


def test_patching_needs_texts_that_prefer_their_own_token() -> None:
    own = model()
    seen, source = predict(own, TEXT), predict(own, OTHER)
    worst = dataclasses.replace(seen, target=int(seen.logits.argmin()))
    with pytest.raises(UserError, match="leave --target out"):
        patch(worst, source)


@pytest.mark.parametrize("kind", ["default", "gpt2", "both norms"])
def test_the_tokens_of_a_neuron_are_those_whose_scores_it_adds_to(kind: str) -> None:
    seen = predict(model(kind), TEXT)
    post = seen.watch("hook_post").stack("mlp.hook_post")[1, 0, -1]
    neuron = int(post.abs().argmax())
    of_tokens = torch.tensor([
        float(attribute_neurons(dataclasses.replace(seen, target=token))[1, neuron] / post[neuron])
        for token in range(WORDS.vocabulary_size)
    ])  # fmt: skip
    assert {id for id, _ in neuron_tokens(seen.decoder, 1, neuron, 5).raised} == set(of_tokens.topk(5).indices.tolist())


def test_a_tuned_lens_learns_on_quantized_weights_too() -> None:
    own = integers(model())
    seen = predict(own, TEXT)
    ids = torch.randint(0, WORDS.vocabulary_size, (16, 12), generator=torch.Generator().manual_seed(0))
    plain, tuned = (
        float(logit_lens(seen, tuned=lens).divergence[0].mean())
        for lens in (None, fit_tuned_lens(own.decoder, ids, 80))
    )
    assert tuned < 0.75 * plain


@pytest.mark.parametrize("view", sorted(set(VIEWS) - {"patch", "paths", "features", "tuned_lens"}))
def test_a_vocabulary_may_be_larger_than_its_tokenizer(view: str) -> None:
    own = model("larger vocabulary")
    rare = WORDS.vocabulary_size + 3
    with torch.no_grad():
        own.decoder.embedding.weight[rare] = 3 * trace(own, TEXT, ["ln_final.hook_out"])["ln_final.hook_out"][0, -1]
    looked = look(own, TEXT, [view])
    assert looked.prediction.target == rare
    assert f"#{rare}" in str(looked)
    assert f"#{rare}" in write_page(looked.prediction, None, {})


@pytest.mark.parametrize("kind", ["default", "gpt2", "latent"])
def test_half_precision_weights_have_every_view(kind: str) -> None:
    own = model(kind)
    own.decoder.to(torch.bfloat16)
    seen = predict(own, TEXT)
    assert attribute(seen).total == pytest.approx(attribute(seen).logit, abs=0.3)
    ids = torch.randint(0, WORDS.vocabulary_size, (8, 8), generator=torch.Generator().manual_seed(0))
    assert logit_lens(seen, tuned=fit_tuned_lens(own.decoder, ids, 2)).probabilities.isfinite().all()
    assert look(own, TEXT, ["attention", "neurons", "ablation", "losses", "heads"]).page()


def test_numbers_are_json_that_every_reader_takes() -> None:
    numbers = look(model(), TEXT, [*sorted(set(VIEWS) - {"patch", "paths", "features", "tuned_lens"})]).as_dict()
    text = json.dumps(numbers, allow_nan=False)
    assert json.loads(text)["losses"]["losses"][0] is None
    assert len(json.loads(text)["attention"]["attn.hook_pattern"]) == 2


def test_every_value_that_is_shown_can_be_differentiated_by() -> None:
    names = ["attn.hook_pattern", "attn.hook_attn_scores", "attn.hook_z", "attn.hook_rot_q", "attn.hook_result"]
    seen = trace(model(), TEXT, [*names, "logits"], differentiable=True)
    score = seen.logits[0, -1].max()
    gradients = torch.autograd.grad(score, [seen[f"blocks.0.{name}"] for name in names])
    assert all(float(each.abs().max()) > 0 for each in gradients)


def test_edits_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="edit 'zeroo': did you mean 'zero'"):
        Edit("hook_embed", "zeroo")  # type: ignore[arg-type]
    own, last = model(), Edit.zero("hook_mlp_out", positions=[-1])
    trace(own, [TEXT, TEXT], edit=last)
    with pytest.raises(UserError, match="unlike lengths; count from 0"):
        trace(own, [TEXT, "the"], edit=last)
    everyone = Edit.replace("blocks.0.mlp.hook_expert_weights", torch.full((), 0.25))
    with pytest.raises(UserError, match="only the experts that were chosen"):
        trace(model("experts"), TEXT, edit=everyone)
    with pytest.raises(UserError, match=r"ids are of the kind float32: give whole numbers"):
        trace(own, torch.zeros(1, 3))


def test_all_experts_have_spectra() -> None:
    decoder: Decoder = model("experts").decoder
    names = {each.name for each in spectra(decoder)}
    assert {
        f"blocks.1.feed_forward.{stack}.{expert}" for stack in ("gate", "up", "down") for expert in range(4)
    } < names
