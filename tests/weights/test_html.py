"""HTML export: the script computes the model's logits, and the page generates the same tokens."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from browser import after_script, needs_browser
from commands import fails, run
from scratchlm.base.folders import MARKER_FILE
from scratchlm.generation.batch import greedy_batch
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import PATTERNS
from scratchlm.weights.checkpoint import SavedModel, save_model
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import write_gguf
from scripts import SCRIPTS
from toys import random_decoder, toy_config

DRIVER = """
const fs = require("fs");
const page = fs.readFileSync(process.argv[2], "utf8");
const asked = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const data = page.match(/<script type="application\\/json" id="model">([^]*?)<\\/script>/)[1];
const script = page.match(/<script>([^]*?)<\\/script>/)[1].split("// The page:")[0];
const run = new Function("stored", "asked", script + `
  const loaded = load(stored);
  const ids = asked.texts.map((text) => loaded.tokenizer.encode(text));
  const logits = asked.ids.map((id) => Array.from(loaded.model.step(id)));
  const texts = ids.map((each) => loaded.tokenizer.decode(each));
  return { ids, logits, texts };
`);
console.log(JSON.stringify(run(JSON.parse(data), asked)));
"""


def model(pattern: str = "qwen2", **changes: object) -> SavedModel:
    tokenizer = FastBPE.train(SCRIPTS.values(), 400, PATTERNS[pattern])
    config = toy_config("default", vocabulary_size=tokenizer.vocabulary_size, **changes)
    return SavedModel(random_decoder(config), tokenizer)


def asked_by_node(page: Path, asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: it runs the page's script")
    (folder / "driver.cjs").write_text(DRIVER)
    (folder / "asked.json").write_text(json.dumps(asked))
    command = ["node", folder / "driver.cjs", page, folder / "asked.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("shape", [{}, {"tied": False}, {"logit_softcap": 12.0}])
def test_the_script_computes_the_logits_of_the_packed_weights(
    shape: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = model(**shape)
    save_model(tmp_path / "model", left)
    if "logit_softcap" in shape:
        assert "no known family can represent this model" in fails(
            capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page"
        )
        return
    assert run(capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page")[0] == 0
    ids = left.tokenizer.encode(SCRIPTS["english"])[:20]
    found = asked_by_node(tmp_path / "page" / "model.html", {"texts": [], "ids": ids}, tmp_path)
    write_gguf(tmp_path / "packed.gguf", left, "q8_0")  # the same 8 bits, unpacked again
    packed, _ = read_gguf(tmp_path / "packed.gguf", torch.float32)
    with torch.no_grad():
        expected = packed.decoder.eval()(torch.tensor([ids]))[0]
    assert (torch.tensor(found["logits"]) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_the_script_tokenizes_text_as_the_tokenizer_does(
    pattern: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], fuzzed: list[str]
) -> None:
    left = model(pattern)
    save_model(tmp_path / "model", left)
    assert run(capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page")[0] == 0
    texts = [text for text in [*SCRIPTS.values(), *fuzzed[:1000]] if "'ſ" not in text]
    found = asked_by_node(tmp_path / "page" / "model.html", {"texts": texts, "ids": []}, tmp_path)
    wrong = [text for text, ids in zip(texts, found["ids"], strict=True) if left.tokenizer.encode(text) != ids]
    assert wrong == []
    assert found["texts"] == texts


def test_the_page_is_one_file_that_loads_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = model()
    left.provenance["name"] = "</script><b>bold"
    left.template = ChatTemplate(left.tokenizer)
    save_model(tmp_path / "model", left)
    assert run(capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page")[0] == 0
    page = (tmp_path / "page" / "model.html").read_text(encoding="utf-8")
    assert sorted(os.listdir(tmp_path / "page")) == [MARKER_FILE, "model.html"]
    assert not re.search(r"\b(?:src|href)=|https?://|fetch\(|import\(", page.split('id="model">')[0])
    assert page.count("</script>") == 2
    stored = json.loads(re.search(r'id="model">(.*?)</script>', page, re.DOTALL).group(1))  # type: ignore[union-attr]
    asked = [{"role": "user", "content": "where?"}]
    around = stored["conversation"]
    inside = left.tokenizer.encode("where?")
    assert [*around["before"], *inside, *around["after"]] == left.template.render(asked, reply=True).ids


PRESS = """
  const wanted = document.querySelector("input[name=mode][value=@MODE@]");
  if (wanted) wanted.click();
  document.getElementById("prompt").value = "The keeper";
  document.getElementById("temperature").value = "0";
  document.getElementById("count").value = "6";
  document.getElementById("write").click();
"""


@needs_browser
@pytest.mark.parametrize("mode", ["chat", "continue"])
def test_a_page_of_a_chat_model_answers_or_continues_as_its_switch_says(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = model(context=64)
    left.template = ChatTemplate(left.tokenizer)
    save_model(tmp_path / "model", left)
    assert run(capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page")[0] == 0
    page = (tmp_path / "page" / "model.html").read_text(encoding="utf-8")
    shown = after_script(page, PRESS.replace("@MODE@", mode), tmp_path)
    assert '<p id="modes">' in shown  # a chat model shows its switch
    spans = re.findall(r"<span[^>]*>(.*?)</span>", shown, re.DOTALL)
    write_gguf(tmp_path / "packed.gguf", left, "q8_0")
    packed, _ = read_gguf(tmp_path / "packed.gguf", torch.float32)
    prompt = left.tokenizer.encode("The keeper")
    if mode == "chat":
        prompt = left.template.render([{"role": "user", "content": "The keeper"}], reply=True).ids
    stops = frozenset({left.tokenizer.end_of_text or 0, *left.template.stop_ids})
    expected = greedy_batch(packed.decoder, [prompt], 6, stops)[0]
    written = [html.escape(left.tokenizer.decode([id]), quote=False) for id in expected]
    assert [span.replace("&nbsp;", "\xa0") for span in spans] == written


def test_a_page_of_a_model_without_conversations_shows_no_switch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "model", model())
    assert run(capsys, "export", tmp_path / "model", "--to", "html", "--out", tmp_path / "page")[0] == 0
    page = (tmp_path / "page" / "model.html").read_text(encoding="utf-8")
    assert '<p id="modes" hidden>' in page
    assert '"conversation":null' in page
