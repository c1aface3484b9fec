// The page: what is shown, what is chosen, and what is switched off.

const data = JSON.parse(element("model").textContent);
const loaded = data.live && load(data.live);
const { facts } = data;
const name = (id) => (loaded ? loaded.tokenizer.decode([id]) : (data.names[id] ?? `#${id}`));

const state = {
  readings: [], // what is shown: one text, or two
  off: new Set(),
  chosen: { layer: 0, head: 0, query: 0, key: 0 },
  whole: null, // the probabilities with all parts, of the text that is shown
  target: null,
  stored: data.readings, // as the page was written; gone when another text is read
};

function read(ids, off, target) {
  return readLive(loaded.model, ids, off, target);
}

// Read the texts anew, with what is switched off.
function refresh() {
  const texts = state.stored ?? state.texts;
  state.readings = texts.map((text, at) => {
    if (!loaded) return readStored(text, facts);
    const target = at === 0 ? (state.target ?? text.target ?? null) : (text.target ?? null);
    return { ...read(text.ids, state.off, target), gradients: text.gradients };
  });
  const [reading] = state.readings;
  state.target = reading.target;
  if (!state.off.size) state.whole = reading;
  else if (state.whole?.text !== reading.ids.join()) state.whole = read(reading.ids, new Set(), state.target);
  state.whole.text = reading.ids.join();
  draw();
}

function draw() {
  const [reading] = state.readings;
  const clamp = (at) => Math.min(at, reading.ids.length - 1);
  state.chosen.query = clamp(state.chosen.query);
  state.chosen.key = Math.min(clamp(state.chosen.key), state.chosen.query);
  element("readings").replaceChildren(...state.readings.map((each, at) => {
    const box = make("div", "reading");
    box.append(drawChips(each, name, (position) => chooseQuery(at === 0 ? position : state.chosen.query)));
    box.append(make("p", "goes-on", `goes on with ${spelled(name(each.target))}, ${percent(each.probability)}`));
    return box;
  }));
  drawNext(element("next"), reading, name, state.off.size ? new Map(state.whole.next) : null);
  drawOff(reading);
  element("target").textContent = spelled(name(reading.target));
  drawLayers(element("layers"), {
    reading, off: state.off, name, chosen: state.chosen, onPart,
    without: state.stored && !state.off.size ? state.stored[0].without : undefined,
  });
  const { shares } = reading;
  const parts = [...shares.heads.flat(), ...shares.attention_bias, ...shares.feed_forward].reduce((sum, share) => sum + share, 0);
  element("sum").textContent = `Together: the embedding ${signed(shares.embedding)} and all parts ${signed(parts + shares.rest)} make the score ${signed(shares.logit)}.`;
  drawHead();
}

// What is switched off, and what it changed.
function drawOff(reading) {
  const place = element("off");
  const before = state.whole.target === reading.target ? state.whole.probability : undefined;
  if (!state.off.size) {
    place.replaceChildren(make("p", "dim", loaded
      ? "Choose a part below to switch it off: the bars change, with a mark where they were."
      : `Of a model of ${facts.parameters.toLocaleString("en")} parameters the page holds this text alone. Choose a part below for what it was worth.`));
    if (state.note) {
      const note = make("p", "", state.note);
      note.setAttribute("role", "status");
      place.append(note);
    }
    return;
  }
  const parts = [...state.off].map((key) => {
    const [layer, head] = key.split(".");
    return head === undefined ? `feed-forward ${layer}` : `layer ${layer} head ${head}`;
  });
  const said = before === undefined ? "" : ` ${spelled(name(reading.target))}: ${percent(before)} before, ${percent(reading.probability)} now.`;
  const back = make("button", "", "Switch all on");
  back.type = "button";
  back.addEventListener("click", () => {
    state.off.clear();
    refresh();
    element("layers").querySelector("button:not([disabled])")?.focus();
  });
  const text = make("p", "", `Off: ${parts.join(", ")}.${said}`);
  text.setAttribute("role", "status");
  place.replaceChildren(text, back);
}

function onPart(key, layer, head) {
  if (head !== null) Object.assign(state.chosen, { layer, head });
  const focus = () => element("layers").children[layer + 2].querySelectorAll("button")[head ?? facts.heads].focus();
  if (loaded) {
    if (!state.off.delete(key)) state.off.add(key);
    refresh();
    focus();
    return;
  }
  const { heads, feed_forward } = state.stored[0].without;
  const chance = head === null ? feed_forward[layer] : heads[layer][head];
  const part = head === null ? `the feed-forward of layer ${layer}` : `head ${head} of layer ${layer}`;
  state.note = `Without ${part}, ${spelled(name(state.readings[0].target))} has ${percent(chance)} instead of ${percent(state.readings[0].probability)}.`;
  draw();
  focus();
}

let cellAt = () => null;

function drawHead() {
  const [reading] = state.readings;
  const { layer, head, query, key } = state.chosen;
  const rows = reading.pattern(layer, head);
  const names = reading.ids.map((id) => spelled(name(id)));
  cellAt = drawMatrix(element("matrix"), rows, names, state.chosen);
  const weight = rows[query][key];
  element("cell").textContent = `Layer ${layer}, head ${head}: “${names[query]}” (position ${query}) gives “${names[key]}” (position ${key}) ${percent(weight)} of its attention.`;
  const largest = rows[query].indexOf(Math.max(...rows[query]));
  element("matrix").setAttribute("aria-label", `Attention of layer ${layer}, head ${head}. From “${names[query]}” most goes to “${names[largest]}”, ${percent(rows[query][largest])}. Arrow keys choose a cell.`);
  if (reading.vectors) drawProduct(element("product"), reading.vectors(layer, head, query, key), weight, query + 1);
  else element("product").replaceChildren(make("p", "dim", "The text is too long for this page to hold its queries and keys."));
  for (const chip of element("readings").querySelector(".chips").children) {
    const at = Number(chip.dataset.at);
    chip.style.setProperty("--look", at <= query ? rows[query][at].toFixed(3) : "0");
    chip.classList.toggle("query", at === query);
  }
  for (const select of element("chooser").querySelectorAll("select")) select.value = state.chosen[select.name];
}

function chooseCell(cell) {
  if (!cell) return;
  Object.assign(state.chosen, cell);
  drawHead();
}

function chooseQuery(query) {
  const chip = element("readings").querySelector(`[data-at="${query}"]`);
  if (chip) element("token").textContent = ` ${chip.getAttribute("aria-label")}.`;
  const rows = state.readings[0].pattern(state.chosen.layer, state.chosen.head);
  chooseCell({ query, key: rows[query].indexOf(Math.max(...rows[query])) });
}

// The cell that a head's newest query looks at most.
function chooseBest() {
  chooseQuery(state.readings[0].ids.length - 1);
}

function setUpAttention() {
  for (const [field, count] of [["layer", facts.layers], ["head", facts.heads]]) {
    const label = make("label", "", `${field} `);
    const select = make("select");
    select.name = field;
    select.append(...Array.from({ length: count }, (_, at) => new Option(at, at)));
    select.addEventListener("change", () => {
      state.chosen[field] = Number(select.value);
      chooseBest();
      draw();
    });
    label.append(select);
    element("chooser").append(label);
  }
  const canvas = element("matrix");
  const point = (event) => cellAt(event.offsetX, event.offsetY);
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") chooseCell(point(event)); });
  canvas.addEventListener("click", (event) => chooseCell(point(event)));
  canvas.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    const query = Math.max(0, Math.min(state.readings[0].ids.length - 1, state.chosen.query + down));
    chooseCell({ query, key: Math.max(0, Math.min(query, state.chosen.key + right)) });
  });
}

// Remove what was computed for the text of the page alone.
function leaveFirstText() {
  for (const part of ["part-neurons", "part-patch", "tables"]) element(part)?.remove();
}

function setUpAsking() {
  if (!loaded) return;
  element("asking").hidden = false;
  const { conversation, begin } = data.live;
  const { context } = data.live.config;
  const ids = (text, chat) => (chat
    ? [...conversation.before, ...loaded.tokenizer.encode(text), ...conversation.after]
    : [...begin, ...loaded.tokenizer.encode(text)]);
  const ask = (text, chat, about) => {
    const read = ids(text, chat);
    if (!read.length) return;
    Object.assign(state, { texts: [{ ids: read.slice(-context) }], stored: null, target: null, off: new Set() });
    leaveFirstText();
    element("about").textContent = read.length > context ? `The last ${context} of ${read.length} tokens are read: the model sees no more at once.` : about;
    element("title").textContent = text.trim();
    refresh();
    chooseBest();
  };
  element("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(element("prompt").value, false, "");
  });
  element("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); element("prompt-form").requestSubmit(); }
  });
  for (const { name: label, text, about, chat } of data.behaviours) {
    const button = make("button", "", label);
    button.type = "button";
    button.addEventListener("click", () => { element("prompt").value = text; ask(text, chat, about); });
    element("behaviours").append(button);
  }
  const more = make("button", "", "Write one token");
  more.type = "button";
  more.addEventListener("click", () => {
    const [reading] = state.readings;
    const written = [...reading.ids, reading.next[0][0]].slice(-data.live.config.context);
    Object.assign(state, { texts: [{ ids: written }], stored: null, target: null });
    leaveFirstText();
    refresh();
    element("title").textContent = loaded.tokenizer.decode(written).trim();
    chooseBest();
  });
  element("behaviours").append(more);
}

function setUpMore() {
  const inside = (id) => element(id).querySelector(".inside");
  const kinds = Object.keys(data.heads);
  const heads = Array.from({ length: facts.heads }, (_, head) => `head ${head}`);
  const layers = Array.from({ length: facts.layers }, (_, layer) => `layer ${layer}`);
  inside("part-heads").append(make("p", "dim", "Mean attention to a pattern, on random tokens that stand there twice: the token before, an earlier one that is the same, and what followed that one (induction)."));
  const grids = (into, shown) => {
    const row = make("div", "grids");
    for (const [title, grid] of shown) {
      const box = make("div");
      box.append(make("p", "label", title), grid);
      row.append(box);
    }
    into.append(row);
  };
  grids(inside("part-heads"), kinds.map((kind) => [kind, heat(data.heads[kind], layers, heads, (value) => value.toFixed(2), 1)]));
  if (data.neurons.length) {
    inside("part-neurons").append(drawTable({
      title: "", sentence: "", columns: ["neuron", "adds to the score", "raises most"],
      rows: data.neurons.map(({ layer, neuron, share, raised }) => [`layer ${layer}, ${neuron}`, signed(share), raised.map(([id]) => spelled(name(id))).join("  ")]),
    }).querySelector(".scroll"));
    inside("part-neurons").prepend(make("p", "dim", `What single neurons add to the score of ${spelled(name(data.readings[0].target))}, and the tokens that each raises most here.`));
  } else element("part-neurons").remove();
  if (data.patch) {
    const kept = data.readings[1].ids.map((_, at) => at).filter((at) => ["stream", "attention", "feed_forward"].some((kind) => data.patch[kind].some((row) => Math.abs(row[at]) >= 0.02)));
    const names = kept.map((at) => spelled(name(data.readings[1].ids[at])));
    inside("part-patch").append(make("p", "dim", `One value of the second text is put into the first, at one layer and one token. 100% says ${spelled(name(data.readings[1].target))} as the second text does, 0% ${spelled(name(data.readings[0].target))} as before. Tokens where nothing reaches 2% are left out.`));
    const parts = [["stream", "the stream before each layer"], ["attention", "what attention adds"], ["feed_forward", "what the feed-forward adds"]];
    const back = (rows, columns) => heat(rows, layers, columns, (value) => `${Math.round(100 * value)}%`, 1);
    grids(inside("part-patch"), [
      ...parts.map(([kind, title]) => [title, back(data.patch[kind].map((row) => kept.map((at) => row[at])), names)]),
      ["each head, at all tokens", back(data.patch.heads, heads)],
    ]);
  } else element("part-patch").remove();
  const own = new Set(data.readings.flatMap(({ ids, target }) => [...ids, target]));
  drawMap(inside("part-map"), data.map, own, name);
  element("tables").append(...data.panels.map(drawTable));
  element("step-more").append(...data.weights.map(drawTable));
}

const TOUR = [
  ["step-tokens", "The model does not see letters. It sees these tokens, each as a vector of numbers."],
  ["step-next", "From the last one it gives every token of its vocabulary a probability. These are the likeliest."],
  ["step-layers", "On the way, each layer adds to the vector. On the right you see the answer taking shape, layer by layer."],
  ["step-attention", "Heads fetch from earlier tokens. Each row of the square is a token that looks back; choose a cell for the two vectors behind it."],
  ["step-layers", loaded ? "Now choose a head or a feed-forward: it is switched off, and the probabilities change. Which one does the answer hang on?" : "Choose a head or a feed-forward: above you read what the answer is worth without it."],
];

function setUpTour() {
  let at = 0;
  const show = () => {
    for (const each of document.querySelectorAll(".step")) each.classList.remove("shown");
    const [id, text] = TOUR[at];
    element("tour-step").textContent = `${at + 1} of ${TOUR.length}.`;
    element("tour-text").textContent = text;
    element("tour-back").disabled = at === 0;
    element("tour-next").textContent = at + 1 === TOUR.length ? "Done" : "Next";
    element(id).classList.add("shown");
    return element(id);
  };
  const end = () => {
    element("tour").hidden = true;
    for (const each of document.querySelectorAll(".step")) each.classList.remove("shown");
  };
  const go = (by) => {
    if (at + by === TOUR.length) return end();
    at += by;
    show().scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  };
  element("tour-next").addEventListener("click", () => go(1));
  element("tour-back").addEventListener("click", () => go(-1));
  element("tour-end").addEventListener("click", end);
  show();
}

element("lead").textContent = `Inside a model of ${facts.parameters.toLocaleString("en")} parameters: ${facts.layers} layers with ${facts.heads} attention heads each.`;
element("facts").textContent = `A decoder of ${facts.parameters.toLocaleString("en")} parameters: ${facts.layers} layers of width ${facts.width} with ${facts.heads} heads, ${facts.vocabulary.toLocaleString("en")} tokens. ${loaded ? "Its weights, rounded to 8 bits, are in this page, and run in it." : "The page holds what was computed of it for this text."}`;
element("switch").textContent = loaded ? "Choose a part to switch it off." : "Choose a part for what the answer is worth without it.";
setUpAttention();
setUpAsking();
setUpMore();
setUpTour();
refresh();
{
  // Begin with the head that adds most to the answer.
  const { heads } = state.readings[0].shares;
  const best = heads.flat().indexOf(Math.max(...heads.flat()));
  Object.assign(state.chosen, { layer: Math.floor(best / facts.heads), head: best % facts.heads });
  chooseBest();
  draw();
}
addEventListener("resize", drawHead);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHead);
