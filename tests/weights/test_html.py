"""HTML export: the script computes the model's logits, and the page generates the same tokens."""

from __future__ import annotations

import dataclasses
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
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.sampling import next_probabilities, penalise_repetition
from scratchlm.inspection.trace import attention_maps
from scratchlm.tokens.chat import CHATML, ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import PATTERNS
from scratchlm.weights.checkpoint import SavedModel, save_model
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import write_gguf
from scratchlm.weights.html.writing import BEGINNINGS, QUESTIONS, SAMPLING, write_page
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
  const looked = [];
  const logits = asked.ids.map((id) => {
    const row = Array.from(loaded.model.step(id));
    looked.push(Array.from(loaded.model.looked));
    return row;
  });
  const texts = ids.map((each) => loaded.tokenizer.decode(each));
  const probabilities = (sampling) => Array.from(nextProbabilities(logits.at(-1), asked.ids, sampling));
  const drawn = (asked.sampling ?? []).map(probabilities);
  return { ids, logits, looked, texts, drawn };
`);
console.log(JSON.stringify(run(JSON.parse(data), asked)));
"""


SETTINGS = [
    SamplingConfig(temperature=0.0),
    SamplingConfig(temperature=0.7),
    SamplingConfig(top_k=5),
    SamplingConfig(temperature=2.0, top_p=0.8),
    SamplingConfig(min_p=0.2),
    SamplingConfig(repetition_penalty=1.4, top_k=40, top_p=0.9, min_p=0.01),
]


def model(pattern: str = "qwen2", **changes: object) -> SavedModel:
    tokenizer = FastBPE.train(SCRIPTS.values(), 400, PATTERNS[pattern])
    config = toy_config("default", vocabulary_size=tokenizer.vocabulary_size, **changes)
    return SavedModel(random_decoder(config), tokenizer)


def in_8_bits(left: SavedModel, folder: Path) -> SavedModel:
    """Return the model with the weights that its page holds."""
    write_gguf(folder / "packed.gguf", left, "q8_0")
    return read_gguf(folder / "packed.gguf", torch.float32)[0]


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
    asked = {"texts": [], "ids": ids, "sampling": [dataclasses.asdict(each) for each in SETTINGS]}
    found = asked_by_node(tmp_path / "page" / "model.html", asked, tmp_path)
    packed = in_8_bits(left, tmp_path)
    with torch.no_grad():
        expected = packed.decoder.eval()(torch.tensor([ids]))[0]
        maps = attention_maps(packed.decoder, torch.tensor([ids]))
    logits = torch.tensor(found["logits"])
    assert (logits - expected).abs().max() < 1e-3
    attention = torch.stack([layer[0].mean(0) for layer in maps]).mean(0)
    for position, row in enumerate(found["looked"]):
        assert (torch.tensor(row) - attention[position, : position + 1]).abs().max() < 1e-4
    for settings, row in zip(SETTINGS, found["drawn"], strict=True):
        expected = next_probabilities(penalise_repetition(logits[-1], ids, settings.repetition_penalty), settings)
        assert (torch.tensor(row) - expected).abs().max() < 1e-5, settings


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


def test_the_settings_of_a_page_are_the_models_or_the_usual_ones() -> None:
    usual = dataclasses.asdict(SamplingConfig())
    assert {name: usual[name] for name in SAMPLING} == SAMPLING
    left = model()
    left.generation = {"temperature": 1.0, "min_p": 0.1, "stop_ids": []}
    assert stored_in(write_page(left))["sampling"] == {**SAMPLING, "temperature": 1.0, "min_p": 0.1}


def test_no_two_parts_of_the_script_have_a_name_in_common() -> None:
    script = write_page(model()).rsplit("<script>", 1)[1]
    names = re.findall(r"^(?:function\*?|const|let|class) (\w+)", script, re.MULTILINE)
    assert len(names) > 30
    assert sorted(names) == sorted(set(names))


def test_a_page_offers_the_questions_that_a_model_brings_or_general_ones() -> None:
    left = model()
    assert stored_in(write_page(left))["samples"]["questions"] == list(QUESTIONS)
    left.provenance["questions"] = ["Which pet does Hugo have?", 7, "Who is Ivy?", "Why?", "a fourth"]
    assert stored_in(write_page(left))["samples"]["questions"] == ["Which pet does Hugo have?", "Who is Ivy?", "Why?"]


def test_a_template_that_rewrites_earlier_turns_makes_a_page_that_takes_each_message_alone() -> None:
    left = model()
    left.template = ChatTemplate(left.tokenizer)
    assert stored_in(write_page(left))["conversation"]["between"]
    last = CHATML.replace("messages -%}", "messages[-1:] -%}", 1)
    left.template = ChatTemplate(left.tokenizer, last)
    assert stored_in(write_page(left))["conversation"]["between"] is None


def stored_in(page: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(re.search(r'id="model">(.*?)</script>', page, re.DOTALL).group(1))  # type: ignore[union-attr]
    return stored


ACT = """
(async () => {
  const found = {};
  let clock = 0;
  performance.now = () => (clock += 20); // a slow model: the page draws after every other token
  const report = () => {
    const out = document.createElement("pre");
    out.id = "found";
    out.textContent = JSON.stringify(found);
    document.body.append(out);
  };
  const written = async () => {
    do await new Promise((resume) => setTimeout(resume, 20)); while (document.querySelector(".writing"));
  };
  const spans = () => [...document.querySelectorAll(".token:not(.end)")];
  const mode = (name) => document.querySelector(`input[name=mode][value=${name}]`).click();
  const say = async (text) => {
    document.getElementById("prompt").value = text;
    document.getElementById("write").click();
    await written();
  };
  document.getElementById("temperature").value = "0";
  document.getElementById("count").value = "6";
  try { STEPS } catch (error) { found.error = String(error.stack); }
  report();
})();
"""


def acted(left: SavedModel, steps: str, folder: Path) -> dict[str, Any]:
    """Run statements in a model's page that fill `found`, and return it."""
    shown = after_script(write_page(left), ACT.replace("STEPS", steps), folder)
    told = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert told, shown[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(told[1]))
    assert "error" not in found, found
    return found


def chatting(context: int = 64) -> SavedModel:
    left = model(context=context)
    left.template = ChatTemplate(left.tokenizer)
    return left


def stops(left: SavedModel) -> frozenset[int]:
    return frozenset(left.end_ids)


@needs_browser
@pytest.mark.parametrize("mode", ["chat", "continue"])
def test_a_page_of_a_chat_model_answers_or_continues_as_its_switch_says(mode: str, tmp_path: Path) -> None:
    left, skipped = chatting(), 0 if mode == "chat" else len("The keeper")
    steps = f"""
      found.switch = !document.getElementById("modes").hidden;
      mode("{mode}");
      await say("The keeper");
      found.ids = spans().map((span) => tokens.get(span).token.id);
      found.text = document.querySelector(".answer, .sheet").textContent.slice({skipped});
    """
    found = acted(left, steps, tmp_path)
    assert found["switch"] is True  # a chat model shows its switch
    prompt = left.tokenizer.encode("The keeper")
    if mode == "chat":
        assert left.template is not None
        prompt = left.template.render([{"role": "user", "content": "The keeper"}], reply=True).ids
    expected = greedy_batch(in_8_bits(left, tmp_path).decoder, [prompt], 6, stops(left))[0]
    assert found["ids"] == expected
    assert left.tokenizer.decode(expected).startswith(found["text"])  # a last character may be incomplete


@needs_browser
def test_a_second_message_is_answered_with_the_first_in_mind(tmp_path: Path) -> None:
    left = chatting()
    steps = """
      await say("ab");
      found.first = spans().map((span) => tokens.get(span).token.id);
      await say("c");
      found.second = spans().map((span) => tokens.get(span).token.id).slice(found.first.length);
    """
    found = acted(left, steps, tmp_path)
    assert left.template is not None
    decoder, template = in_8_bits(left, tmp_path).decoder, left.template
    first = template.render([{"role": "user", "content": "ab"}], reply=True).ids
    assert found["first"] == greedy_batch(decoder, [first], 6, stops(left))[0]
    inside = stored_in(write_page(left))["conversation"]
    between = inside["between"]
    ended = template.render([{"role": "user", "content": "ab"}, {"role": "assistant", "content": "x"}], reply=False).ids
    assert between[0] == ended[-2]  # the token that ends a turn, whether the model wrote it or not
    after = template.render([{"role": "user", "content": "c"}], reply=True).ids
    prompt = [*first, *found["first"], *between, *after[len(inside["before"]) :]]
    assert found["second"] == greedy_batch(decoder, [prompt], 6, stops(left))[0]


@needs_browser
def test_a_conversation_that_outgrows_the_context_forgets_its_beginning_and_goes_on(tmp_path: Path) -> None:
    steps = """
      for (const text of ["ab", "cd", "ef", "gh", "ij"]) await say(text);
      found.forgotten = document.querySelectorAll(".forgotten").length;
      found.answers = document.querySelectorAll(".answer").length;
      found.last = [...document.querySelectorAll(".answer")].at(-1).querySelectorAll(".token").length;
    """
    found = acted(chatting(), steps, tmp_path)
    assert found["answers"] == 5
    assert 0 < found["forgotten"] < 5
    assert found["last"] > 0


@needs_browser
def test_a_chosen_token_shows_ten_alternatives_and_another_of_them_goes_on_from_there(tmp_path: Path) -> None:
    left = chatting()
    steps = """
      await say("The keeper");
      const before = spans().map((span) => tokens.get(span).token.id);
      const chosen = spans()[2];
      chosen.focus();
      chosen.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      found.rows = document.querySelectorAll("#others button").length;
      found.open = !document.getElementById("chosen").hidden;
      found.focused = document.activeElement.closest("#others") !== null;
      found.shaded = Number(spans()[1].style.getPropertyValue("--w"));
      const { others, probability, id } = tokens.get(chosen).token;
      found.own = others.find((other) => other.id === id).probability - probability;
      found.best = others[0].id;
      const other = others.findIndex((each) => each.id !== id && !stored.stop_ids.includes(each.id));
      document.querySelectorAll("#others button")[other].click();
      await written();
      found.ids = spans().map((span) => tokens.get(span).token.id);
      found.kept = [...before.slice(0, 2), others[other].id];
      spans()[4].focus();
      const shaded = (each) => each.style.getPropertyValue("--w") !== "";
      found.looked = [...document.querySelectorAll(".read, .token")].map(shaded).indexOf(false);
      found.read = document.querySelectorAll(".read").length;
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
      found.closed = document.getElementById("chosen").hidden;
    """
    found = acted(left, steps, tmp_path)
    assert (found["rows"], found["open"], found["focused"], found["own"]) == (10, True, True, 0)
    assert found["closed"] is True
    assert 0 < found["shaded"] <= 1
    assert found["looked"] == found["read"] + 4  # also of a token that was written after the choice
    assert found["ids"][:3] == found["kept"]
    assert left.template is not None
    prompt = left.template.render([{"role": "user", "content": "The keeper"}], reply=True).ids
    decoder = in_8_bits(left, tmp_path).decoder
    assert found["ids"][3:] == greedy_batch(decoder, [[*prompt, *found["kept"]]], 6, stops(left))[0]


@needs_browser
def test_arrow_keys_go_from_token_to_token_and_shade_what_each_looked_at(tmp_path: Path) -> None:
    steps = """
      await say("The keeper");
      const key = (name) =>
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
      spans()[0].focus();
      key("ArrowRight");
      key("ArrowRight");
      found.at = spans().indexOf(document.activeElement);
      found.stops = spans().filter((span) => span.tabIndex === 0).length;
      found.looking = document.getElementById("log").classList.contains("looking");
      const shaded = (each) => each.style.getPropertyValue("--w") !== "";
      found.shades = [...document.querySelectorAll(".read, .token")].map(shaded);
      found.read = document.querySelectorAll(".read").length;
      document.activeElement.blur();
      found.after = document.getElementById("log").classList.contains("looking");
    """
    found = acted(chatting(), steps, tmp_path)
    assert (found["at"], found["stops"], found["looking"], found["after"]) == (2, 1, True, False)
    assert found["shades"].index(False) == found["read"] + 2  # the message and the two tokens before it, no more


@needs_browser
def test_a_sample_question_is_asked_by_a_click(tmp_path: Path) -> None:
    steps = """
      document.querySelectorAll("#samples button")[1].click();
      await written();
      found.said = document.querySelector(".said").textContent;
      found.answered = spans().length > 0;
      found.status = document.getElementById("status").textContent;
    """
    found = acted(chatting(), steps, tmp_path)
    assert found["said"] == QUESTIONS[1]
    assert found["answered"] is True
    assert "of 64 tokens of context" in found["status"]


@needs_browser
def test_stop_ends_an_answer_and_a_new_question_too(tmp_path: Path) -> None:
    steps = """
      const begun = async () => {
        while (!spans().length) await new Promise((resume) => setTimeout(resume, 0));
      };
      stored.stop_ids.length = 0;  // answers go on
      document.getElementById("count").value = "40";
      document.getElementById("prompt").value = "ab";
      document.getElementById("write").click();
      await begun();
      found.button = document.getElementById("write").textContent;
      document.getElementById("write").click();
      await written();
      found.stopped = spans().length;
      found.after = document.getElementById("write").textContent;
      document.getElementById("clear").click();
      document.getElementById("prompt").value = "ab";
      document.getElementById("write").click();
      await begun();
      document.querySelector("#samples button").click();
      await written();
      found.lengths = [...document.querySelectorAll(".answer")].map((each) => each.querySelectorAll(".token").length);
      found.current = current;
    """
    found = acted(chatting(context=128), steps, tmp_path)
    assert (found["button"], found["after"]) == ("Stop", "Ask")
    assert 0 < found["stopped"] < 40
    assert 0 < found["lengths"][0] < found["lengths"][1] == 40
    assert found["current"] is None


@needs_browser
def test_a_page_of_a_model_without_conversations_shows_no_switch(tmp_path: Path) -> None:
    left = model(context=64)
    steps = """
      found.switch = !document.getElementById("modes").hidden;
      found.button = document.getElementById("write").textContent;
      document.querySelector("#samples button").click();
      await written();
      found.sheet = document.querySelector(".sheet").textContent;
      document.getElementById("prompt").value = "";
      document.getElementById("write").click();  // from nothing, as a document begins
      await written();
      found.sheets = [...document.querySelectorAll(".sheet")].map((each) => each.querySelectorAll(".token").length > 0);
    """
    found = acted(left, steps, tmp_path)
    assert (found["switch"], found["button"]) == (False, "Write")
    assert found["sheet"].startswith(BEGINNINGS[0])
    assert found["sheets"] == [True, True]
    assert '"conversation":null' in write_page(left)
