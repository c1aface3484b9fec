"""A time-lapse keeps what a model predicts during training, and its page replays it in a real browser, alone."""

from __future__ import annotations

import itertools
import json
import math
import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from browser import after_script, needs_browser
from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.model.decoder import Decoder
from scratchlm.tours.timelapse.frames import (
    TOP,
    Lapse,
    Watch,
    moments,
    packed,
    predictions,
    read_lapse,
    symbols,
    unpacked,
    write_lapse,
    written,
)
from scratchlm.tours.timelapse.pages import page
from scratchlm.tours.timelapse.picture import LETTER, MARGIN, chosen, picture, position
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

PASSAGE = "The fox <b>found</b> a key & went home, and nobody saw the fox again."


def decoder(seed: int) -> Decoder:
    return random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=96), seed)


@pytest.fixture(scope="module")
def lapse() -> Lapse:
    """Return a lapse of seven moments, each of another random model."""
    tokenizer = byte_tokenizer()
    made = Lapse("toy <text>", "Once", symbols(tokenizer), tokenizer.encode(PASSAGE), 1234, 512, 100)
    held_out = np.array(tokenizer.encode(PASSAGE * 3), np.int64)
    looks = [0, 1, 2, 5, 20, 60, 100]
    watch = Watch(made, tokenizer, held_out, looks, characters=40, seed=0)
    for step in range(101):
        watch(step, decoder(step) if step in looks else decoder(0))
    return made


def test_the_moments_are_spaced_evenly_in_the_logarithm_of_the_step() -> None:
    found = moments(1000, 60)
    assert (found[0], found[-1], len(found)) == (0, 1000, 60)
    assert found == sorted(set(found))
    ratios = [b / a for a, b in itertools.pairwise(found[20:])]
    assert max(ratios) / min(ratios) < 1.1
    assert moments(4, 60) == [0, 1, 2, 3, 4]
    assert moments(50, 2)[0] == 0


def test_a_moment_keeps_the_losses_and_the_most_probable_bytes(lapse: Lapse) -> None:
    assert [frame.step for frame in lapse.frames] == [0, 1, 2, 5, 20, 60, 100]
    model, tokenizer, frame = decoder(20), byte_tokenizer(), lapse.frames[4]
    nats = token_nats(model, tokenizer, ArrayTokens(np.array(lapse.passage)))
    assert np.allclose(frame.nats, nats, atol=1e-3)
    with torch.no_grad():
        ids = torch.tensor([[tokenizer.end_of_text or 0, *lapse.passage[:-1]]])
        expected = model(ids)[0].softmax(-1)
    for place in (0, 10, len(lapse.passage) - 1):
        best = expected[place].topk(TOP)
        assert frame.top[place] == best.indices.tolist()
        assert np.allclose(frame.probabilities[place], best.values, atol=3e-5)


def test_a_passage_longer_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match=r"passage of 97 tokens: the model's context is 96; give a shorter one"):
        predictions(decoder(0), byte_tokenizer(), [65] * 97)


def test_what_is_stored_is_read_again(lapse: Lapse, tmp_path: Path) -> None:
    write_lapse(tmp_path / "lapse.json", lapse)
    again = read_lapse(tmp_path / "lapse.json")
    assert (again.passage, again.symbols, again.prompt) == (lapse.passage, lapse.symbols, lapse.prompt)
    for before, after in zip(lapse.frames, again.frames, strict=True):
        assert (after.step, after.text, after.top) == (before.step, before.text, before.top)
        assert np.allclose(after.nats, before.nats, atol=1e-3)
        assert np.allclose(after.probabilities, before.probabilities, atol=3e-5)
    assert unpacked(packed(lapse.frames[0])).loss == lapse.frames[0].loss
    (tmp_path / "other.json").write_text('{"format": 7}')
    with pytest.raises(UserError, match=r"other.json: is no time-lapse of format 1"):
        read_lapse(tmp_path / "other.json")


def test_what_is_no_letter_is_shown_by_signs() -> None:
    tokenizer = byte_tokenizer()
    shown = symbols(tokenizer)
    assert [shown[id] for id in tokenizer.encode("a \n\t")] == ["a", "␣", "↵", "09"]
    assert [shown[id] for id in tokenizer.encode("é")] == ["C3", "A9"]
    end = tokenizer.end_of_text
    assert end is not None
    assert shown[end] == "end"
    assert written(tokenizer, [*tokenizer.encode("é\n\x07b"), 0xFF, end]) == "é↵□b□□"


def test_the_picture_shows_five_moments_and_the_loss_of_every_byte(lapse: Lapse) -> None:
    drawn = picture(lapse)
    tree = ElementTree.fromstring(drawn)
    words = ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    frames = chosen(lapse)
    assert [frame.step for frame in frames] == [0, 2, 5, 20, 100]
    assert {f"step {frame.step:,}" for frame in frames} <= set(words)
    assert {f"loss {frame.loss:.2f} nats per byte" for frame in frames} <= set(words)
    grounds = re.findall(r'fill="var\(--heat\)" fill-opacity="([\d.]+)"', drawn)
    most = math.log(len(lapse.symbols))
    expected = [0.7 * min(1.0, nats / most) for frame in frames for nats in frame.nats[:48]]
    assert [float(each) for each in grounds] == pytest.approx(expected, abs=0.006)
    at = position(lapse)
    falls = [a - b for a, b in zip(lapse.frames[0].nats, lapse.frames[-1].nats, strict=True)][:48]
    assert falls[at] == max(falls)
    assert drawn.count(f'x="{MARGIN + LETTER * at:g}"') >= len(frames)


def test_the_page_is_one_file_that_loads_nothing(lapse: Lapse) -> None:
    made = page(lapse)
    assert not re.search(r"\b(?:src|href)=|https?://|fetch\(|import\(|url\(", made)
    assert "default-src 'none'" in made
    assert "<b>found" not in made  # the text of others is data, never markup
    assert "toy &lt;text&gt;" in made


TELL = """
  const told = {};
  addEventListener("error", (event) => { told.error = event.message; });
  try { STEPS } catch (error) { told.error = String(error); }
  told.loaded = performance.getEntriesByType("resource").map((each) => each.name);
  const out = document.createElement("pre");
  out.id = "told";
  out.textContent = JSON.stringify(told);
  document.body.append(out);
"""
HELP = """
  const slider = document.querySelector(".replay input"), button = document.querySelector(".replay button");
  const at = () => [Number(slider.value), document.querySelector(".replay .now b").textContent];
  const press = (name) => new KeyboardEvent("keydown", { key: name, bubbles: true });
  const key = (name, on) => (on || document.body).dispatchEvent(press(name));
  const move = (to) => { slider.value = to; slider.dispatchEvent(new Event("input")); };
"""


def told(lapse: Lapse, steps: str, folder: Path) -> dict[str, Any]:
    """Run statements in the page that fill `told`, and return it; no error and no request is allowed."""
    shown = after_script(page(lapse), TELL.replace("STEPS", HELP + steps), folder)
    found = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    values: dict[str, Any] = json.loads(unescape(found[1]))
    assert "error" not in values, values
    assert values["loaded"] == []
    return values


@needs_browser
def test_the_slider_shows_a_moment_with_its_text_losses_and_probabilities(lapse: Lapse, tmp_path: Path) -> None:
    steps = """
      told.first = at();
      move(3);
      told.moved = at();
      told.text = document.querySelector(".replay .text").textContent;
      told.passage = document.querySelector(".passage").textContent;
      const letters = [...document.querySelectorAll(".passage span")];
      told.heat = letters.map((each) => Number(each.style.getPropertyValue("--w")));
      letters[10].click();
      told.names = [...document.querySelectorAll(".odds code")].map((each) => each.textContent);
      told.widths = [...document.querySelectorAll(".odds i")].map((each) => parseFloat(each.style.width));
      told.after = document.querySelector(".after").textContent;
      told.here = parseFloat(document.querySelector(".here").style.left);
    """
    values, frame = told(lapse, steps, tmp_path), lapse.frames[3]
    assert values["first"] == [6, "step 100"]
    assert values["moved"] == [3, "step 5"]
    assert (values["text"], values["passage"]) == (frame.text, PASSAGE)
    assert values["heat"] == pytest.approx([min(1, n / math.log(len(lapse.symbols))) for n in frame.nats], abs=2e-3)
    assert values["names"] == [lapse.symbols[id] for id in frame.top[10]]
    assert values["widths"] == pytest.approx([100 * part for part in frame.probabilities[10]], abs=0.01)
    chance = math.exp(-frame.nats[10])
    assert values["after"].startswith(f"After “{PASSAGE[:10]}” comes “{PASSAGE[10]}”: the model gave it ")
    shown = float(re.search(r"([\d.]+)%\.$", values["after"]).group(1))  # type: ignore[union-attr]
    assert shown == pytest.approx(100 * chance, abs=0.6)
    assert values["here"] == pytest.approx(100 * math.log10(5) / 2, abs=0.01)


@needs_browser
def test_keys_and_the_button_play_pause_and_move_in_time(lapse: Lapse, tmp_path: Path) -> None:
    steps = """
      button.click();
      told.playing = [button.textContent, ...at()];
      key(" ");
      told.paused = button.textContent;
      const names = ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft"];
      told.keys = names.map((name) => (key(name), at()[0]));
      const passage = document.querySelector(".passage");
      const chosen = () => [...passage.children].findIndex((each) => each.classList.contains("chosen"));
      passage.children[5].click();
      key("ArrowRight", passage);
      told.chosen = chosen();
      told.still = at()[0];
      key("ArrowRight", slider);
      told.native = at()[0];
    """
    values = told(lapse, steps, tmp_path)
    assert values["playing"] == ["Pause", 0, "step 0"]
    assert values["paused"] == "Play"
    assert values["keys"] == [1, 2, 1, 0, 0]
    assert (values["chosen"], values["still"], values["native"]) == (6, 0, 0)  # a slider moves itself by its keys


@needs_browser
def test_playing_ends_at_the_last_moment(lapse: Lapse, tmp_path: Path) -> None:
    script = """
      const button = document.querySelector(".replay button"), slider = document.querySelector(".replay input");
      button.click();
      setTimeout(() => { document.title = `${button.textContent} ${slider.value}`; }, 18000);
    """
    shown = after_script(page(lapse), script, tmp_path)
    assert "<title>Play 6</title>" in shown


@pytest.mark.slow
def test_the_command_trains_and_writes_page_picture_and_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentences = " ".join(f"On day {day} the fox found {day * 7} keys and went home." for day in range(400))
    (tmp_path / "days.txt").write_text(sentences, encoding="utf-8")
    small = ["days.txt", "--steps", "6", "--depth", "1", "--frames", "4", "--passage", "40", "--dtype", "fp32"]
    code, out, err = run(capsys, "timelapse", *small, "--out", "made")
    assert code == 0, err
    assert "made/timelapse.html: " in out
    lapse = read_lapse(tmp_path / "made" / "timelapse.json")
    assert (lapse.frames[0].step, lapse.frames[-1].step, lapse.source) == (0, 6, "days.txt")
    assert lapse.frames[0].loss == pytest.approx(math.log(len(lapse.symbols)), abs=0.2)
    assert lapse.frames[-1].loss < lapse.frames[0].loss
    html = (tmp_path / "made" / "timelapse.html").read_text(encoding="utf-8")
    assert html == page(lapse)
    assert (tmp_path / "made" / "timelapse.svg").read_text(encoding="utf-8") == picture(lapse)
    assert "--force" in fails(capsys, "timelapse", *small, "--out", "made")
    assert run(capsys, "timelapse", *small, "--out", "made", "--force")[0] == 0
    again = read_lapse(tmp_path / "made" / "timelapse.json")
    assert again.frames == lapse.frames


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--prompt", ""], "--prompt: is empty"),
        (["--passage", "300"], "--passage 300: must be at most 256"),
        (["--steps", "0"], "--steps 0: must be at least 1"),
    ],
)
def test_wrong_settings_are_named(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in fails(capsys, "timelapse", "x.txt", *flags, code=2)
