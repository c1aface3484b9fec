"""Going on from a model: what it can and what is known of it are kept, and its card reports both trainings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from commands import run
from scratchlm.base.energy import EnergyCounter
from scratchlm.base.runfolder import history_of
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.card import model_card
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("further")
    tokenizer = byte_tokenizer()
    shape = toy_config("default", vocabulary_size=BYTE_VOCABULARY)
    told = {"sources": [{"name": "old", "licence": "MIT"}], "licence": "CC-BY-4.0"}
    before = SavedModel(random_decoder(shape), tokenizer, ChatTemplate(tokenizer), {"top_k": 7}, told)
    save_model(folder / "before", before)
    lines = [f"On day {day} the miller sold {day * day} sacks.\n\n" for day in range(300)]
    (folder / "days.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def test_a_continued_model_keeps_its_template_and_tells_of_all_its_data(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, data = folder / "before", folder / "data"
    text = folder / "days.txt"
    assert run(capsys, "prepare", text, "--tokenizer", before, "--split-on", "\\n\\n", "--out", data)[0] == 0
    steps = ("--training.steps", "3", "--training.sequence-length", "16")
    continued = ("--init", before, "--data", data, "--out", folder / "run", *steps)
    assert run(capsys, "pretrain", "further", *continued)[0] == 0
    model = load_model(find_model(folder / "run"))
    assert model.template is not None
    assert model.generation == {"top_k": 7}
    assert [source["name"] for source in model.provenance["sources"]] == ["days.txt", "old"]
    assert run(capsys, "export", folder / "run", "--to", "hf", "--out", folder / "hf")[0] == 0
    card = (folder / "hf" / "README.md").read_text(encoding="utf-8")
    assert "different licences was mixed: CC-BY-4.0, MIT, not stated" in card
    assert "- Tokens: about 192" in card  # three steps of four rows of sixteen
    assert "nats a token" in card
    assert re.search(r"- Energy: not measured; \d+\.\d\d hours, about \d+ Wh if it drew 65 W", card)
    assert (folder / "hf" / "model.safetensors").stat().st_mode == (folder / "hf" / "config.json").stat().st_mode


def test_energy_is_told_where_the_machine_counts_it(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "counters" / "intel-rapl:0"
    package.mkdir(parents=True)
    for name, value in (("name", "package-0"), ("max_energy_range_uj", "9999999999"), ("energy_uj", "0")):
        (package / name).write_text(f"{value}\n", encoding="ascii")

    class Rising(EnergyCounter):
        def __init__(self) -> None:
            super().__init__(package.parent)

        def look(self) -> float | None:
            file = package / "energy_uj"
            file.write_text(f"{int(file.read_text(encoding='ascii')) + 3_600_000}", encoding="ascii")
            return super().look()

    monkeypatch.setattr("scratchlm.runs.run.EnergyCounter", Rising)
    text, data, out = folder / "days.txt", tmp_path / "data", tmp_path / "run"
    assert run(capsys, "prepare", text, "--tokenizer", folder / "before", "--split-on", "\\n\\n", "--out", data)[0] == 0
    sizes = ("--training.steps", "3", "--training.sequence-length", "16", "--training.log-every", "1")
    assert run(capsys, "pretrain", "tiny", "--data", data, "--out", out, *sizes)[0] == 0
    joules = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["joules"]
    assert joules == pytest.approx(3.6 * 5)  # a look before the first step and after each, and one at the end
    assert "kJ meanwhile" in (out / "report.html").read_text(encoding="utf-8")
    assert run(capsys, "export", out, "--to", "hf", "--out", tmp_path / "hf")[0] == 0
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert "- Energy: at least 0.005 Wh, counted for the processors" in card


def test_one_licence_is_stated_where_a_hub_reads_it(folder: Path) -> None:
    model = load_model(folder / "before")
    model.provenance = {"sources": [{"name": "stories", "licence": "Apache-2.0"}]}
    card = model_card(model, "Qwen3ForCausalLM")
    assert "\nlicense: apache-2.0\n---" in card
    assert "mixed" not in card
    assert "Energy: not measured\n" in card


def test_a_model_outside_a_run_has_no_history(folder: Path) -> None:
    assert history_of(folder / "before") == {}
