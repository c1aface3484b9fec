"use strict";
// A training replayed: one moment at a time, by a button, a slider or keys. Texts are set as text, never as HTML.
{
  const lapse = JSON.parse(document.getElementById("lapse").textContent);
  const numbers = (packed) => new Uint16Array(Uint8Array.from(atob(packed), (byte) => byte.charCodeAt(0)).buffer);
  const frames = lapse.frames.map((frame) => ({
    ...frame,
    nats: numbers(frame.nats),
    top: numbers(frame.top),
    probabilities: numbers(frame.probabilities),
  }));
  const replay = document.querySelector(".replay"), find = (what) => replay.querySelector(what);
  const slider = find("input"), button = find("button"), passage = find(".passage"), odds = find(".odds");
  const area = document.querySelector(".area"), points = area ? JSON.parse(area.dataset.curves)[0].points : [];
  const most = Math.log(lapse.symbols.length), kept = frames[0].top.length / lapse.passage.length;
  const count = (value) => value.toLocaleString("en");
  const percent = (part) => part < 0.0005 ? "<0.1%" : `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)}%`;
  const make = (kind, name) => Object.assign(document.createElement(kind), { className: name || "" });

  const letters = lapse.passage.map((id) => {
    const span = make("span");
    span.textContent = lapse.texts[id];
    return span;
  });
  passage.replaceChildren(...letters);
  const rows = Array.from({ length: kept }, () => {
    const row = { name: make("code"), place: make("div"), bar: make("i"), value: make("b") };
    row.place.append(row.bar);
    odds.append(row.name, row.place, row.value);
    return row;
  });
  const marker = make("i", "here");
  if (area) area.append(marker);

  // First shown is the byte whose prediction training improved most.
  const gains = lapse.passage.map((_, place) => frames[0].nats[place] - frames[frames.length - 1].nats[place]);
  let chosen = gains.indexOf(Math.max(...gains)), timer;

  const expected = (frame) => {
    const right = lapse.passage[chosen], before = lapse.passage.slice(Math.max(0, chosen - 24), chosen);
    const given = before.map((id) => lapse.texts[id]).join("");
    const after = given ? `After “${chosen > 24 ? "…" : ""}${given}”` : "At the beginning";
    const part = Math.exp(-frame.nats[chosen] / 1000);
    find(".after").textContent = `${after} comes “${lapse.symbols[right]}”: the model gave it ${percent(part)}.`;
    rows.forEach((row, index) => {
      const id = frame.top[chosen * kept + index], size = frame.probabilities[chosen * kept + index] / 65535;
      row.name.textContent = lapse.symbols[id];
      row.bar.style.width = `${100 * size}%`;
      row.bar.className = id === right ? "true" : "";
      row.value.textContent = percent(size);
    });
    letters.forEach((letter, place) => letter.classList.toggle("chosen", place === chosen));
  };
  const show = () => {
    const frame = frames[slider.value], loss = frame.loss.toFixed(2);
    const now = make("b");
    now.textContent = `step ${count(frame.step)}`;
    find(".now").replaceChildren(now, ` of ${count(lapse.steps)} · ${count(frame.step * lapse.bytes)} bytes read · loss ${loss} nats per byte`);
    slider.setAttribute("aria-valuetext", `step ${count(frame.step)}, loss ${loss}`);
    find(".text").textContent = frame.text;
    letters.forEach((letter, place) => letter.style.setProperty("--w", Math.min(1, frame.nats[place] / 1000 / most).toFixed(3)));
    expected(frame);
    const point = points.find((each) => each[2] === frame.step) || points[0];
    if (point) [marker.style.left, marker.style.top] = [`${point[0]}%`, `${point[1]}%`];
  };
  const pause = () => { clearInterval(timer); timer = undefined; button.textContent = "Play"; };
  const go = (to) => { slider.value = to; show(); };
  const play = () => {
    if (timer) return pause();
    if (Number(slider.value) === frames.length - 1) go(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      if (Number(slider.value) === frames.length - 1) return pause();
      go(Number(slider.value) + 1);
    }, Math.max(200, 15000 / frames.length));
  };
  const choose = (place) => {
    chosen = Math.min(Math.max(place, 0), letters.length - 1);
    expected(frames[slider.value]);
  };
  button.addEventListener("click", play);
  slider.addEventListener("input", () => { pause(); show(); });
  passage.addEventListener("click", (event) => {
    const place = letters.indexOf(event.target);
    if (place >= 0) choose(place);
  });
  // Arrow keys belong to what has the focus: the slider, the passage, the chart; elsewhere they move in time.
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const on = event.target, step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " " && on !== button && !on.closest?.("summary")) play();
    else if (step && on === passage) choose(chosen + step);
    else if (step && on !== slider && on !== area) { pause(); go(Math.min(Math.max(Number(slider.value) + step, 0), frames.length - 1)); }
    else return;
    event.preventDefault();
  });
  find(".bar").hidden = false;
  show();
}
