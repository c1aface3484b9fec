"""Recipes in TOML files: one that changes a few values of another, for every trainer; each value is marked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import transfer
from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.command import Command
from scratchlm.commands import COMMANDS
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.weights.checkpoint import save_model

TRAINERS = [
    COMMANDS["finetune classify"],
    COMMANDS["finetune instruct"],
    COMMANDS["finetune prefer"],
    COMMANDS["finetune reinforce"],
]


def test_a_recipe_changes_values_of_its_base_and_of_its_bases_base(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "tiny"\n[training]\nsteps = 7\n', encoding="utf-8")
    (tmp_path / "wider.toml").write_text('base = "mine.toml"\n[model]\nwidth = 96\n', encoding="utf-8")
    wider, tiny = load_recipe(str(tmp_path / "wider.toml")), load_recipe("tiny")
    assert (wider.model.width, wider.training.steps) == (96, 7)
    assert wider.training.batch_size == tiny.training.batch_size
    assert wider.model.layers == tiny.model.layers
    assert {"training.steps", "training.batch_size", "model.width"} <= wider.described


def test_a_part_of_another_type_takes_the_place_of_the_bases(tmp_path: Path) -> None:
    text = 'base = "tiny"\n[training.optimizer]\ntype = "adamw"\nlearning_rate = 0.5\n'
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    optimizer = load_recipe(str(tmp_path / "mine.toml")).training.optimizer
    assert (optimizer.type, optimizer.learning_rate) == ("adamw", 0.5)


def test_a_base_that_is_unknown_or_leads_back_is_named(tmp_path: Path) -> None:
    for name, base in (("one", "two.toml"), ("two", "one.toml"), ("three", "tinny")):
        (tmp_path / f"{name}.toml").write_text(f'base = "{base}"\n', encoding="utf-8")
    with pytest.raises(UserError, match="leads back to itself"):
        load_recipe(str(tmp_path / "one.toml"))
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        load_recipe(str(tmp_path / "three.toml"))


@pytest.mark.parametrize("command", TRAINERS, ids=lambda command: command.program)
def test_every_fine_tuning_takes_a_recipe_over_which_flags_win(command: Command, tmp_path: Path) -> None:
    common = 'init = "./model"\nout = "somewhere"\nseed = 5\n[training]\nbatch_size = 3\nmicro_batch_size = 1\n'
    if command is COMMANDS["finetune reinforce"]:
        common = common.replace("batch_size = 3\n", "", 1)
    else:
        common = f'data = "d.csv"\n{common}'
    (tmp_path / "base.toml").write_text(common, encoding="utf-8")
    (tmp_path / "mine.toml").write_text('base = "base.toml"\nlora = true\n', encoding="utf-8")
    config = command.from_arguments([str(tmp_path / "mine.toml"), "--seed", "9"])
    assert (config.seed, config.lora, config.training.micro_batch_size) == (9, True, 1)
    assert config.init == tmp_path / "model"
    assert config.out == Path("somewhere")
    assert command.from_call([str(tmp_path / "mine.toml")], {"seed": 9}) == config


def test_an_unknown_key_of_a_fine_tunings_recipe_offers_the_nearest(capsys, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epoch = 3\n", encoding="utf-8")
    line = fails(capsys, "finetune", "instruct", tmp_path / "mine.toml", "--init", "m", "--data", "d", "--out", "o")
    assert "unknown key" in line
    assert "epochs" in line


def test_the_recipe_of_a_run_begins_another_one_like_it(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "model", transfer.model())
    rows = [{"prompt": f"Say {word}", "completion": word} for word in ("one", "two", "three", "four") * 6]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    flags = ["--init", "model", "--data", "rows.jsonl", "--epochs", "1", "--scored", "2", "--reply-tokens", "4"]
    first, _, err = run(capsys, "finetune", "instruct", *flags, "--out", "one", "--seed", "3")
    assert first == 0, err
    second, _, err = run(capsys, "finetune", "instruct", "one/recipe.toml", "--out", "two")
    assert second == 0, err
    one, two = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    recipe = (tmp_path / "two" / "recipe.toml").read_text(encoding="utf-8")
    assert re.search(r"^seed = 3  # recipe$", recipe, re.MULTILINE)
