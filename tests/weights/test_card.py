"""Untrusted provenance is escaped: it starts no field, heading or script in an export."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.card import model_card
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.html.writing import write_page
from toys import byte_tokenizer, random_decoder, toy_config

HOSTILE = ["MIT\ntags: [evil]", "MIT\n---\n# Free", 'a "quoted" one', "no", "x: y", "MIT # note", "\u2028a\x85b"]


def named(name: str, **provenance: object) -> SavedModel:
    tokenizer = byte_tokenizer()
    config = toy_config("default", vocabulary_size=tokenizer.vocabulary_size)
    return SavedModel(random_decoder(config), tokenizer, provenance={"name": name, **provenance})


def front_matter(card: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return found


@pytest.mark.parametrize("licence", HOSTILE, ids=repr)
def test_any_licence_is_one_scalar_in_the_card(licence: str) -> None:
    card = model_card(named("m", licence=licence, sources=[{"name": "a\n# b", "licence": licence}]), "X")
    told = front_matter(card)
    assert told.keys() == {"library_name", "pipeline_tag", "license"}
    assert told["license"] == " ".join(licence.split()).lower()
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == ["# m", "## Training", "## Use"]


def test_a_usual_licence_has_no_quotes() -> None:
    for licence in ("Apache-2.0", "public domain", "CC-BY-SA-4.0"):
        assert f"\nlicense: {licence.lower()}\n" in model_card(named("m", licence=licence), "X")


@pytest.mark.parametrize("name", ["@MODEL@", "@SCRIPT@ @TITLE@", "</title><script>alert(1)</script>", "a & \"b\" '@'"])
def test_any_name_is_plain_text_in_the_page(name: str) -> None:
    model = named(name)
    page, plain = write_page(model), write_page(named("plain"))
    assert page.count("<script") == plain.count("<script") == 2
    assert len(page) < len(plain) + 400
    titles = re.findall(r"<(?:title|h1)>(.*?)</(?:title|h1)>", page)
    assert [title for title in titles if "<" in title] == []
    assert len(titles) == 2


def test_a_special_token_with_script_tags_does_not_end_the_script() -> None:
    tokenizer = FastBPE.train(["a b c"], 258, specials=["</script><script>alert(1)</script>", "<|endoftext|>"])
    config = toy_config("default", vocabulary_size=tokenizer.vocabulary_size)
    page = write_page(SavedModel(random_decoder(config), tokenizer))
    assert page.count("</script>") == 2
    stored = re.search(r'<script type="application/json" id="model">(.*?)</script>', page, re.DOTALL)
    assert stored is not None
    assert "</script><script>alert(1)</script>" in json.loads(stored[1])["tokenizer"]["specials"]
