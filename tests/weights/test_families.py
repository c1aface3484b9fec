"""Every family against transformers, at toy size with random tensors: equal logits, and an exact round trip."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.cache import KVCache
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Decoder
from scratchlm.weights.adapters import slots
from scratchlm.weights.families.family import Family, for_inference
from scratchlm.weights.families.known import FAMILIES as KNOWN
from scratchlm.weights.families.known import family_of, read_shape
from scratchlm.weights.huggingface import read_weights, write_weights
from scratchlm.weights.mapping import shapes, to_ours, to_theirs
from scratchlm.weights.tensors import SafetensorsFiles
from toys import random_decoder, random_ids
from weights.families import FAMILIES, LENGTH

TOLERANCE = 1e-4
ONE_FAMILY = {kind: name for name, (kind, _) in reversed(FAMILIES.items())}


@dataclass(frozen=True)
class Pair:
    """A toy model on disk, and the same model in transformers."""

    folder: Path
    config: DecoderConfig
    family: Family
    theirs: dict[str, Tensor]
    reference: torch.nn.Module
    ids: Tensor
    expected: Tensor


def written(name: str, folder: Path) -> Pair:
    import transformers

    kind, config = FAMILIES[name]
    folder.mkdir()
    family = next(family for family in KNOWN if family.model_type == kind)
    decoder = random_decoder(config)
    ours = {name: p.detach() for name, p in decoder.named_parameters()}
    fields = {**family.fields(config), "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(fields))
    from safetensors.torch import save_file

    theirs = dict(to_theirs(ours, family.rules, config))
    save_file(theirs, folder / "model.safetensors", metadata={"format": "pt"})
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        expected = reference(ids).logits
    return Pair(folder, config, family, theirs, reference, ids, expected)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return written(request.param, tmp_path_factory.mktemp("family") / "model")


@torch.no_grad()
def logits_of(pair: Pair, theirs: dict[str, Tensor]) -> Tensor:
    decoder = Decoder(pair.config).eval()
    ours = dict(to_ours(theirs, pair.family.rules, pair.config, pair.family.ignored))
    for name, parameter in decoder.named_parameters():
        parameter.copy_(ours[name])
    return decoder(pair.ids)


@torch.no_grad()
def test_a_folder_read_gives_the_logits_of_transformers(pair: Pair) -> None:
    weights = read_weights(pair.folder)
    logits = weights.decoder.eval()(pair.ids)
    assert pair.expected.std() > 1
    assert (logits - pair.expected).abs().max() < TOLERANCE
    assert for_inference(weights.decoder.config) == for_inference(pair.config)


def test_altering_any_one_tensor_breaks_the_parity_except_key_biases_which_softmax_cancels(pair: Pair) -> None:
    unnoticed = []
    for name, tensor in pair.theirs.items():
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        altered = logits_of(pair, {**pair.theirs, name: tensor + 0.05 * noise})
        if (altered - pair.expected).abs().max() < 20 * TOLERANCE:
            unnoticed.append(name)
    assert len(pair.theirs) > 15
    assert [name for name in unnoticed if not name.endswith("k_proj.bias")] == []


def test_no_two_tensors_of_a_layer_can_be_swapped_unnoticed(pair: Pair) -> None:
    names = [name for name in pair.theirs if ".1." in name and not name.endswith("k_proj.bias")]
    shape = {name: pair.theirs[name].shape for name in names}
    swaps = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if shape[a] == shape[b]]
    for a, b in swaps:
        swapped = logits_of(pair, {**pair.theirs, a: pair.theirs[b], b: pair.theirs[a]})
        assert (swapped - pair.expected).abs().max() > 20 * TOLERANCE, (a, b)


def test_reading_and_writing_gives_the_same_bytes(pair: Pair, tmp_path: Path) -> None:
    decoder = read_weights(pair.folder).decoder
    assert {name: p.shape for name, p in decoder.named_parameters()} == shapes(pair.config)
    write_weights(tmp_path, decoder, {})
    again = SafetensorsFiles(tmp_path)
    assert dict(again.shapes) == {name: tensor.shape for name, tensor in pair.theirs.items()}
    for name, tensor in pair.theirs.items():
        assert again[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_the_config_that_transformers_writes_is_read_as_the_same_config(pair: Pair, tmp_path: Path) -> None:
    pair.reference.config.save_pretrained(tmp_path)
    family, shape = read_shape(json.loads((tmp_path / "config.json").read_text()))
    assert family is pair.family
    assert for_inference(shape) == for_inference(pair.config)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_family_of_a_config_is_found_by_its_values(name: str) -> None:
    kind, config = FAMILIES[name]
    found = family_of(config)
    assert for_inference(found.read_back(config)) == for_inference(config)
    assert found.model_type == kind


@pytest.mark.parametrize("kind", ONE_FAMILY)
def test_half_precision_is_kept_and_can_be_widened(kind: str, tmp_path: Path) -> None:
    pair = written(ONE_FAMILY[kind], tmp_path / "model")
    decoder = read_weights(pair.folder, torch.bfloat16).decoder
    assert {p.dtype for p in decoder.parameters()} == {torch.bfloat16}
    write_weights(tmp_path, decoder, {})
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    stored = SafetensorsFiles(tmp_path)
    assert all(torch.equal(stored[name], pair.theirs[name].bfloat16()) for name in pair.theirs)
    assert {p.dtype for p in read_weights(tmp_path, torch.float32).decoder.parameters()} == {torch.float32}


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    pair = written("llama", tmp_path / "model")
    pair.reference.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    with torch.no_grad():
        assert torch.equal(
            read_weights(tmp_path / "shards").decoder.eval()(pair.ids),
            read_weights(pair.folder).decoder.eval()(pair.ids),
        )


def test_gpt2_as_openai_named_it_is_read_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    pair = written("gpt2", tmp_path / "model")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in pair.theirs.items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, LENGTH, LENGTH)
    save_file(bare, pair.folder / "model.safetensors")
    with torch.no_grad():
        assert (read_weights(pair.folder).decoder.eval()(pair.ids) - pair.expected).abs().max() < TOLERANCE


def test_a_tied_head_that_a_file_holds_anyway_is_accepted(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    pair = written("qwen3 tied", tmp_path / "model")
    theirs = {**pair.theirs, "lm_head.weight": pair.theirs["model.embed_tokens.weight"].clone()}
    save_file(theirs, pair.folder / "model.safetensors")
    assert read_weights(pair.folder).decoder.head is None


def test_missing_unknown_and_misshapen_tensors_are_reported_together(pair: Pair) -> None:
    first, second, *_ = pair.theirs
    broken = {name: tensor for name, tensor in pair.theirs.items() if name != first}
    broken[second] = torch.zeros(3, 3)
    broken["visual.patches"] = torch.zeros(2)
    with pytest.raises(UserError) as caught:
        dict(to_ours(broken, pair.family.rules, pair.config, pair.family.ignored))
    message = str(caught.value)
    assert f"{first}: missing" in message
    assert f"{second}: (3, 3) where" in message
    assert "visual.patches: unknown" in message


def test_a_model_that_no_family_represents_is_refused_with_the_reasons(tmp_path: Path) -> None:
    from toys import toy_config

    with pytest.raises(UserError, match=r"no known family can represent this model.*model\.ngrams"):
        write_weights(tmp_path, Decoder(toy_config("speedrun")), {})


def test_adapter_slots_are_the_matrices_of_transformers_layers(pair: Pair) -> None:
    modules = dict(pair.reference.named_modules())
    found = slots(pair.family, pair.config)
    assert len(found) >= 4 * pair.config.layers
    for slot in found:
        if slot.theirs.endswith(".gate"):  # a router, which transformers keeps in a module of its own kind
            continue
        shape = tuple(modules[slot.theirs].weight.shape)
        assert sorted(shape) == sorted((sum(slot.outputs), slot.inputs)), slot.theirs


@torch.no_grad()
def test_the_cache_gives_the_same_logits_in_chunks_and_one_by_one(pair: Pair) -> None:
    decoder = read_weights(pair.folder).decoder.eval()
    whole = decoder(pair.ids)
    cache = KVCache(decoder.config.context)
    parts = [decoder(pair.ids[:, :40], cache), decoder(pair.ids[:, 40:70], cache)]
    parts += [decoder(pair.ids[:, at : at + 1], cache) for at in range(70, LENGTH)]
    assert (torch.cat(parts, dim=1) - whole).abs().max() < TOLERANCE


@torch.no_grad()
def test_a_later_token_changes_no_earlier_logits(pair: Pair) -> None:
    decoder = read_weights(pair.folder).decoder.eval()
    changed = pair.ids.clone()
    changed[:, 60] = (changed[:, 60] + 1) % pair.config.vocabulary_size
    before, after = decoder(pair.ids), decoder(changed)
    assert (before[:, :60] - after[:, :60]).abs().max() < 1e-5  # experts' products differ in size, and so in rounding
    assert (before[:, 60:] - after[:, 60:]).abs().max() > 1e-3
