"""`scratchlm import` and `scratchlm export`: a model round-trips through transformers unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from commands import fails, run
from scratchlm.generation.language_model import load
from scratchlm.tokens.base import DEFAULT_SPECIALS
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from scripts import SCRIPTS
from toys import random_decoder, toy_config
from transfer import model, tokenizer


@pytest.fixture
def exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    save_model(tmp_path / "model", model())
    code, out, _ = run(capsys, "export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["architecture"] == "Qwen3ForCausalLM"
    assert told["template"] is True
    return tmp_path / "hf"


@torch.no_grad()
def test_transformers_loads_what_was_exported_with_the_same_logits_ids_and_layout(
    exported: Path, fuzzed: list[str]
) -> None:
    import transformers

    ours = model()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    cut = transformers.AutoTokenizer.from_pretrained(exported)
    texts = [*SCRIPTS.values(), *fuzzed[:2000]]
    for text, ids in zip(texts, ours.tokenizer.encode_batch(texts), strict=True):
        assert cut(text, split_special_tokens=True)["input_ids"] == ids.tolist()
    ids = torch.tensor([ours.tokenizer.encode(SCRIPTS["english"])[:20]])
    assert (theirs(ids).logits - ours.decoder(ids)).abs().max() < 1e-4
    talk = [{"role": "user", "content": "Where is my hat?"}, {"role": "assistant", "content": " On the chair. "}]
    assert ours.template is not None
    laid = cut.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
    assert laid == ours.template.render(talk, reply=True).ids
    specials = ours.tokenizer.specials
    assert cut.eos_token_id == specials["<|endoftext|>"]
    assert cut.pad_token_id == specials["<|pad|>"]
    assert set(theirs.generation_config.eos_token_id) == {specials["<|endoftext|>"], specials["<|im_end|>"]}


def test_transformers_writes_the_same_greedy_tokens(exported: Path) -> None:
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    ours = load(exported.parent / "model")
    prompt = ours.tokenizer.encode("The old lighthouse")
    greedy = theirs.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=0, top_k=None
    )
    assert ours.generate("The old lighthouse", temperature=0.0, max_tokens=12) == ours.tokenizer.decode(
        greedy[0, len(prompt) :].tolist()
    )


def test_an_exported_model_round_trips(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    back = exported.parent / "back"
    assert run(capsys, "import", exported, "--out", back)[0] == 0
    left, returned = load_model(exported.parent / "model"), load_model(back)
    for (name, one), other in zip(left.decoder.named_parameters(), returned.decoder.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert left.tokenizer.fingerprint == returned.tokenizer.fingerprint
    assert left.template is not None
    assert returned.template is not None
    assert left.template.source == returned.template.source
    again = exported.parent / "again"
    assert run(capsys, "export", back, "--out", again)[0] == 0
    assert load_file(again / "model.safetensors").keys() == load_file(exported / "model.safetensors").keys()
    for name, tensor in load_file(exported / "model.safetensors").items():
        assert load_file(again / "model.safetensors")[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_the_precision_of_an_import_can_be_chosen(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = exported.parent / "half"
    code, told, _ = run(capsys, "import", exported, "--out", out, "--dtype", "bf16", "--json")
    assert code == 0
    assert json.loads(told)["dtype"] == "bfloat16"
    assert {p.dtype for p in load_model(out, None).decoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in load_model(out).decoder.parameters()} == {torch.float32}
    assert isinstance(load(out).generate("The", max_tokens=3), str)


def test_the_card_describes_the_training_and_warns_of_mixed_licences(exported: Path) -> None:
    from scratchlm.weights.card import model_card

    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "storyworld, licence Apache-2.0" in card
    assert "Steps: 7" in card
    assert "different licences" not in card
    mixed = model()
    mixed.provenance["sources"] = [*mixed.provenance["sources"], {"name": "letters", "licence": None}]
    assert "**Material of different licences was mixed: Apache-2.0, not stated.**" in model_card(mixed, "X")


def test_stop_ids_are_imported(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((exported / "generation_config.json").read_text())
    assert config["temperature"] == 0.5
    (exported / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [7, 11], "top_p": 0.9}))
    assert run(capsys, "import", exported, "--out", exported.parent / "back")[0] == 0
    settings = load(exported.parent / "back").settings()
    assert (settings.stop_ids, settings.temperature, settings.top_k, settings.top_p) == ((7, 11), 0.5, 40, 0.9)


def changed(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def test_an_unknown_architecture_is_named_with_the_known_ones(exported: Path, capsys) -> None:
    changed(exported, model_type="mamba", architectures=["MambaForCausalLM"])
    line = fails(capsys, "import", exported, "--out", exported.parent / "back")
    assert "MambaForCausalLM" in line
    assert "qwen3 (Qwen3ForCausalLM)" in line
    assert not (exported.parent / "back").exists()


def test_unsupported_fields_are_reported_together(exported: Path, capsys) -> None:
    changed(exported, hidden_act="gelu", rope_scaling={"rope_type": "yarn", "factor": 4.0}, num_hidden_layers="two")
    line = fails(capsys, "import", exported, "--out", exported.parent / "back")
    for part in ("hidden_act is 'gelu'", "'yarn'", "num_hidden_layers is 'two'"):
        assert part in line


def test_tensors_that_do_not_fit_are_reported_together(exported: Path, capsys) -> None:
    tensors = load_file(exported / "model.safetensors")
    del tensors["model.norm.weight"]
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(2, 2)
    tensors["extra"] = torch.zeros(2)
    save_file(tensors, exported / "model.safetensors")
    line = fails(capsys, "import", exported, "--out", exported.parent / "back")
    for part in ("model.norm.weight: missing", "up_proj.weight: (2, 2) where", "extra: unknown tensor"):
        assert part in line


def test_a_truncated_file_is_refused(exported: Path, capsys) -> None:
    data = (exported / "model.safetensors").read_bytes()
    (exported / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "cannot be read" in fails(capsys, "import", exported, "--out", exported.parent / "back")


def test_a_pickle_is_refused_with_the_reason(exported: Path, capsys) -> None:
    (exported / "model.safetensors").rename(exported / "pytorch_model.bin")
    line = fails(capsys, "import", exported, "--out", exported.parent / "back")
    assert "can run any program" in line


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a\\b.safetensors"])
def test_an_index_that_points_out_of_its_folder_is_refused(name: str, exported: Path, capsys) -> None:
    index = {"weight_map": dict.fromkeys(load_file(exported / "model.safetensors"), name)}
    (exported / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "outside its folder" in fails(capsys, "import", exported, "--out", exported.parent / "back")


def test_a_tokenizer_that_does_not_fit_the_embedding_is_refused(exported: Path, capsys) -> None:
    FastBPE.train(SCRIPTS.values(), 410, specials=DEFAULT_SPECIALS).save(exported)
    assert "do not belong together" in fails(capsys, "import", exported, "--out", exported.parent / "back")


def test_weights_of_another_dtype_are_refused(exported: Path, capsys) -> None:
    tensors = load_file(exported / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)
    save_file(tensors, exported / "model.safetensors")
    assert "stored as I8" in fails(capsys, "import", exported, "--out", exported.parent / "back")


def test_existing_files_are_kept_and_wrong_paths_are_named(exported: Path, capsys) -> None:
    assert "exists already" in fails(capsys, "export", exported.parent / "model", "--out", exported)
    assert run(capsys, "export", exported.parent / "model", "--out", exported, "--force")[0] == 0
    assert "no such file or folder" in fails(
        capsys, "import", exported.parent / "none", "--out", exported.parent / "back"
    )
    line = fails(capsys, "generate", exported, "Hello")
    assert "scratchlm import" in line


def test_a_model_that_no_family_represents_is_not_written(tmp_path: Path, capsys) -> None:
    found = tokenizer()
    decoder = random_decoder(toy_config("speedrun", vocabulary_size=found.vocabulary_size))
    save_model(tmp_path / "model", SavedModel(decoder, found))
    assert "no known family can represent this model" in fails(
        capsys, "export", tmp_path / "model", "--out", tmp_path / "hf"
    )
    assert not (tmp_path / "hf").exists()
