"""The page of `inspect --page`: the model in it says what the model says, also with parts switched off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from browser import browsing, needs_browser
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.attribution import attribute
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.lens import logit_lens
from scratchlm.inspection.look import ViewSettings, look
from scratchlm.inspection.page import writing
from scratchlm.inspection.prediction import Prediction, predict
from scratchlm.inspection.trace import attention_maps, trace
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import write_gguf
from toys import random_decoder, toy_config
from transfer import tokenizer

WORDS = tokenizer()
TEXT, OTHER = "the fox saw", "the hat sat"
DRIVER = """
const page = require("fs").readFileSync(process.argv[2], "utf8");
const data = JSON.parse(page.match(/<script type="application\\/json" id="model">([^]*?)<\\/script>/)[1]);
const script = page.match(/<script>([^]*?)<\\/script>/)[1].split("// How things are drawn.")[0];
const run = new Function("data", "off", script + `
  const [text] = data.readings;
  const stored = () => readStored(text, data.facts);
  const reading = data.live ? readLive(load(data.live).model, text.ids, new Set(off), text.target) : stored();
  const { layers, heads } = data.facts;
  const rows = (layer, head) => reading.pattern(layer, head).map((row) => [...row]);
  const pattern = Array.from({ length: layers }, (_, l) => Array.from({ length: heads }, (_, h) => rows(l, h)));
  const last = text.ids.length - 1;
  const { q, k } = reading.vectors(1, 1, last, 0);
  return { ...reading, pattern, score: q.reduce((sum, value, i) => sum + value * k[i], 0) / Math.sqrt(q.length) };
`);
console.log(JSON.stringify(run(data, JSON.parse(process.argv[3]))));
"""


def model(kind: str = "default") -> LanguageModel:
    config = toy_config(kind, vocabulary_size=WORDS.vocabulary_size)
    return LanguageModel(SavedModel(random_decoder(config), WORDS, template=ChatTemplate(WORDS)))


def packed(left: LanguageModel, folder: Path) -> LanguageModel:
    """Return the model with the weights that its page holds."""
    write_gguf(folder / "packed.gguf", left.saved, "q8_0")
    return LanguageModel(read_gguf(folder / "packed.gguf", torch.float32)[0])


def read_by_node(page: str, folder: Path, off: list[str]) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: it runs the page's script")
    (folder / "driver.cjs").write_text(DRIVER)
    (folder / "page.html").write_text(page, encoding="utf-8")
    command = ["node", folder / "driver.cjs", folder / "page.html", json.dumps(off)]
    values: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return values


def held_against(values: dict[str, Any], seen: Prediction, off: tuple[Edit, ...] = ()) -> None:
    """Compare what the page says with what the views say."""
    logits = trace(seen.model, seen.ids, edit=off).logits[0, -1]
    chances = logits.softmax(-1)
    assert values["probability"] == pytest.approx(float(chances[seen.target]), abs=1e-4)
    assert [id for id, _ in values["next"]][:3] == logits.topk(3).indices.tolist()
    maps = torch.stack([layer[0] for layer in attention_maps(seen.model, seen.ids)])
    for layer, heads in enumerate(values["pattern"]):
        for head, rows in enumerate(heads):
            for query, row in enumerate(rows):
                if not off:
                    expected = maps[layer, head, query, : query + 1]
                    torch.testing.assert_close(torch.tensor(row, dtype=torch.float32), expected, rtol=0, atol=5e-3)
    if off:
        return
    shares = attribute(seen)
    torch.testing.assert_close(torch.tensor(values["shares"]["heads"]), shares.heads, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        torch.tensor(values["shares"]["feed_forward"]), shares.feed_forward, rtol=1e-3, atol=1e-3
    )
    assert values["shares"]["embedding"] == pytest.approx(shares.embedding, abs=1e-3)
    lens = logit_lens(seen, top=3)
    assert [[id for id, _ in layer] for layer in values["lens"]] == lens.ids[:, -1].tolist()
    scores = trace(seen.model, seen.ids, ["attn_scores"])["blocks.1.attn.hook_attn_scores"]
    assert values["score"] == pytest.approx(float(scores[0, 1, -1, 0]), abs=2e-2)


def test_a_small_model_runs_in_its_page(tmp_path: Path) -> None:
    left = packed(model(), tmp_path)
    seen = predict(left, TEXT)
    page = look(left, TEXT).page()
    held_against(read_by_node(page, tmp_path, []), seen)
    ablated = (Edit.zero("blocks.1.attn.hook_z", heads=[1]), Edit.zero("blocks.0.hook_mlp_out"))
    held_against(read_by_node(page, tmp_path, ["1.1", "0"]), seen, ablated)


@pytest.mark.parametrize("kind", ["default", "gpt2", "latent", "speedrun"])
def test_a_larger_model_s_page_holds_its_values(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LIVE", 0)
    left = model(kind)
    page = look(left, TEXT).page()
    held_against(read_by_node(page, tmp_path, []), predict(left, TEXT))


def test_the_title_says_what_was_asked_without_the_marks_of_a_conversation() -> None:
    config = toy_config("default", vocabulary_size=WORDS.vocabulary_size, context=64)
    chat = LanguageModel(SavedModel(random_decoder(config), WORDS, template=ChatTemplate(WORDS)))
    template = chat.saved.template
    assert template is not None
    asked = template.render([{"role": "user", "content": TEXT}], reply=True).ids
    for ids in (asked, [*asked, *chat.tokenizer.encode(OTHER)]):
        title = look(chat, torch.tensor([ids])).page().partition("<title>")[2].partition("</title>")[0]
        said = OTHER if len(ids) > len(asked) else TEXT
        assert title.endswith(f"after “{said}”?")


def test_the_page_is_one_file_that_loads_nothing() -> None:
    page = look(model(), "</script><b>fox").page()
    assert not re.search(r"\b(?:src|href)=|https?://(?!www\.w3\.org)|fetch\(|import\(", page.split('id="model">')[0])
    assert page.count("</script>") == 2
    names = re.findall(r"^(?:function\*?|const|let|class) (\w+)", page.rsplit("<script>", 1)[1], re.MULTILINE)
    assert sorted(names) == sorted(set(names))


@needs_browser
@pytest.mark.parametrize("live", [True, False])
def test_the_page_is_used_by_pointer_and_keyboard(live: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not live:
        monkeypatch.setattr(writing, "LIVE", 0)
    left = model()
    views = ["losses", "ablation", "patch"]
    looked = look(left, TEXT, views, ViewSettings(patch=OTHER))
    file = tmp_path / "page.html"
    file.write_text(looked.page(), encoding="utf-8")
    with browsing(tmp_path) as tab:
        tab.open(file.as_uri())
        tab.command(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        assert tab.run("document.querySelectorAll('#layers .part').length") == 1 + 2 * 5
        for width in (360, 1024, 1280, 1400):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
            tab.command("Emulation.setDeviceMetricsOverride", **size)
            for shown in ("false", "true"):
                tab.run(f"for (const each of document.querySelectorAll('details')) each.open = {shown}")
                assert tab.run("document.documentElement.scrollWidth") <= width, (width, shown)
        before = tab.run("document.getElementById('next').textContent")
        tab.run("document.querySelector('[aria-label*=\"head 1\"]').click()")
        said = tab.run("document.getElementById('off').textContent")
        assert ("Off: layer 0 head 1" if live else "Without head 1 of layer 0") in said
        assert (tab.run("document.getElementById('next').textContent") != before) == live
        assert tab.run("document.activeElement.getAttribute('aria-label')").startswith("layer 0, head 1: adds")
        if live:
            tab.run("document.querySelector('#off button').click()")
            assert tab.run("document.activeElement.closest('#layers') !== null")
            assert tab.run("document.getElementById('next').textContent") == before
        tab.run("chooseBest(); document.getElementById('matrix').focus()")
        cell = tab.run("document.getElementById('cell').textContent")
        for key in ("ArrowUp", "ArrowLeft"):
            tab.run(f"document.getElementById('matrix').dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))")
        assert tab.run("document.getElementById('cell').textContent") != cell
        assert "divided by √8" in tab.run("document.getElementById('product').textContent")
        for _ in range(5):
            tab.run("document.getElementById('tour-next').click()")
        assert tab.run("document.getElementById('tour').hidden")
        if live:
            tab.run("document.querySelector('#behaviours button').click()")
            length = tab.run("document.querySelectorAll('.chips button').length")
            tab.run("[...document.querySelectorAll('#behaviours button')].at(-1).click()")
            assert tab.run("document.querySelectorAll('.chips button').length") in (length, length + 1)
        if live:  # with a part off, what was before is said of the text that is shown
            tab.run("document.querySelector('[aria-label^=\"layer 0, head 1\"]').click()")
            tab.run("[...document.querySelectorAll('#behaviours button')].at(-1).click()")
            intact = tab.run("percent(read(state.readings[0].ids, new Set(), state.target).probability)")
            assert f"{intact} before" in tab.run("document.getElementById('off').textContent")
        assert tab.problems == []
