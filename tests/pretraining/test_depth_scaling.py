"""Depth scaling and the named recipes."""

from __future__ import annotations

import pytest

from scratchlm.base.errors import UserError
from scratchlm.model.config import NgramEmbeddingConfig
from scratchlm.model.decoder import outline
from scratchlm.pretraining.depth_scaling import MAX_DEPTH, at_depth, load_recipe, recipe_names
from scratchlm.storyworld import build_world, parses, sentences
from scratchlm.storyworld.portraits import portraits
from scratchlm.storyworld.quiz import statement


@pytest.mark.parametrize("scaling", ["default", "speedrun"])
def test_every_depth_gives_a_valid_shape_that_grows(scaling) -> None:
    widths = [at_depth(depth, scaling)[0].width for depth in range(1, MAX_DEPTH + 1)]
    assert widths == sorted(widths)


def test_the_dial_goes_from_a_third_of_a_million_parameters_to_more_than_a_billion() -> None:
    shapes = [outline(at_depth(depth)[0]) for depth in (1, MAX_DEPTH)]
    assert shapes[0].parameter_count() == pytest.approx(0.31e6, rel=0.02)
    assert shapes[1].parameter_count() > 1e9


def test_the_speedrun_turns_with_the_dial_and_has_its_parts_at_every_depth() -> None:
    for depth in (2, 7, 12):
        model = load_recipe("speedrun", depth).model
        assert model.layers == depth
        assert isinstance(model.ngrams, NgramEmbeddingConfig)
        assert model.width == model.attention.heads * model.attention.head_dim


def test_an_unknown_dial_offers_the_nearest(tmp_path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('depth_scaling = "speedrum"\ndepth = 3\n')
    with pytest.raises(UserError, match=r"unknown depth_scaling 'speedrum'.*did you mean 'speedrun'"):
        load_recipe(str(path))


@pytest.mark.parametrize("depth", [0, -1, MAX_DEPTH + 1])
def test_a_depth_off_the_dial_is_named(depth: int) -> None:
    with pytest.raises(UserError, match="--depth"):
        at_depth(depth)


def test_every_named_recipe_loads_and_fits_its_context() -> None:
    assert {"characters", "characters-quick", "default", "gpt2", "speedrun", "tiny"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.training.sequence_length <= recipe.model.context


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'speedrun'"):
        load_recipe("speedrum")


def test_portraits_hold_told_facts_alone_in_sentences_of_the_grammar() -> None:
    world = build_world()
    kept_out = {statement(fact) for fact in world.facts() if not fact.in_stories}
    seen = [sentence for text in portraits(50_000, 0, world) for sentence in sentences(text)]
    assert not kept_out & set(seen)
    assert set(seen) <= {statement(fact) for fact in world.facts() if fact.in_stories}
    assert len(set(seen)) > 300
    assert all(map(parses, seen))
