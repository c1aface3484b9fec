// How things are drawn. Texts are set as text, never as HTML.

const element = (id) => document.getElementById(id);
const make = (kind, className = "", text = "") => Object.assign(document.createElement(kind), { className, textContent: text });
const percent = (part) => (part < 0.0005 ? "<0.1%" : `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)}%`);
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
const spelled = (text) => text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣").replace(/\p{Cc}/gu, (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`) || "∅";
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A row of bars: the likeliest tokens. `before` are probabilities without what is switched off, drawn as outlines.
function drawNext(place, reading, name, before) {
  const largest = Math.max(reading.next[0][1], ...reading.next.map(([id]) => before?.get(id) ?? 0));
  const rows = reading.next.flatMap(([id, chance]) => {
    const track = make("div", "track-next");
    const bar = make("i", id === reading.target ? "true" : "");
    bar.style.width = `${(100 * chance) / largest}%`;
    track.append(bar);
    const was = before?.get(id);
    if (was !== undefined) {
      const mark = make("s");
      mark.style.left = `${(100 * was) / largest}%`;
      mark.title = `${percent(was)} with all parts`;
      track.append(mark);
    }
    return [make("code", id === reading.target ? "chosen" : "", spelled(name(id))), track, make("b", "", percent(chance))];
  });
  place.replaceChildren(...rows);
}

// Tokens as chips, shaded by their loss.
function drawChips(reading, name, onChoose) {
  const chips = make("div", "chips");
  reading.ids.forEach((id, at) => {
    const chip = make("button", "token-chip", spelled(name(id)));
    chip.type = "button";
    const loss = reading.losses[at];
    chip.style.setProperty("--w", Math.min(1, (loss ?? 0) / 8).toFixed(3));
    const gradient = reading.gradients?.[at];
    chip.title = [
      `position ${at}`, loss === null ? "nothing is before it" : `loss ${loss.toFixed(2)} nats (${percent(Math.exp(-loss))})`,
      gradient == null ? "" : `gradient of the answer's loss ${gradient.toFixed(3)}`,
    ].filter(Boolean).join("\n");
    chip.setAttribute("aria-label", `${spelled(name(id))}, ${chip.title.replaceAll("\n", ", ")}`);
    chip.dataset.at = at;
    chip.addEventListener("click", () => onChoose(at));
    chips.append(chip);
  });
  return chips;
}

// A cell of the layers: a part, coloured by its share.
function partCell(label, layer, share, largest, off, without, onClick) {
  const cell = make("button", off ? "part off" : "part");
  cell.type = "button";
  cell.setAttribute("aria-pressed", String(off));
  cell.style.setProperty("--w", Math.min(1, Math.abs(share) / largest).toFixed(3));
  cell.dataset.side = share < 0 ? "against" : "for";
  cell.append(make("span", "", label), make("b", "", off ? "off" : signed(share)));
  cell.setAttribute("aria-label", `${layer}${label}: adds ${signed(share)}${without === undefined ? "" : `; without it ${percent(without)}`}${off ? "; switched off" : ""}`);
  cell.addEventListener("click", onClick);
  return cell;
}

// The layers: heads and feed-forward of each, and what the model would say after it.
function drawLayers(place, { reading, off, name, without, onPart, chosen }) {
  const { shares, lens } = reading;
  const all = [...shares.heads.flat(), ...shares.feed_forward, shares.embedding].map(Math.abs);
  const largest = Math.max(...all, 1e-9);
  const says = (layer) => {
    const cell = make("div", "says");
    for (const [id, chance] of lens[layer].slice(0, 2)) {
      const said = make("span", id === reading.target ? "chosen" : "", spelled(name(id)));
      said.append(make("small", "", ` ${percent(chance)}`));
      cell.append(said);
    }
    return cell;
  };
  const row = (label, parts, layer) => {
    const line = make("div", "layer");
    line.append(make("span", "name", label), ...parts, says(layer));
    return line;
  };
  const head = make("div", "layer top");
  head.append(make("span", "name", ""), make("span", "wide", "attention heads, then the feed-forward"), make("span", "says", "would say now"));
  const rows = [head];
  const embedding = make("div", "parts");
  const begun = partCell("embedding", "", shares.embedding, largest, false, undefined, () => {});
  begun.disabled = true;
  embedding.append(begun);
  rows.push(row("in", [embedding], 0));
  shares.heads.forEach((heads, layer) => {
    const parts = make("div", "parts");
    heads.forEach((share, head) => {
      const key = `${layer}.${head}`;
      const cell = partCell(`head ${head}`, `layer ${layer}, `, share, largest, off.has(key), without?.heads[layer][head], () => onPart(key, layer, head));
      if (chosen.layer === layer && chosen.head === head) cell.setAttribute("aria-current", "true");
      parts.append(cell);
    });
    parts.append(partCell("feed-forward", `layer ${layer}, `, shares.feed_forward[layer], largest, off.has(`${layer}`), without?.feed_forward[layer], () => onPart(`${layer}`, layer, null)));
    rows.push(row(`layer ${layer}`, [parts], layer + 1));
  });
  place.replaceChildren(...rows);
}

// The weights of a head, query by key, with the tokens at its sides. Returns which cell is at a point.
function drawMatrix(canvas, rows, names, chosen) {
  const length = rows.length;
  const cell = Math.max(9, Math.min(30, Math.floor(430 / length)));
  const side = 8 + Math.min(12, Math.max(...names.map((each) => each.length))) * 7;
  const [width, height] = [side + cell * length + 2, cell * length + side];
  const ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px ui-monospace, monospace";
  const [ink, line, mark] = [colour("--ink"), colour("--line"), colour("--mark")];
  pen.fillStyle = colour("--panel");
  for (let query = 0; query < length; query++) pen.fillRect(side, query * cell, cell * (query + 1), cell - 1);
  rows.forEach((row, query) => row.forEach((weight, key) => {
    pen.globalAlpha = Math.min(1, weight);
    pen.fillStyle = mark;
    pen.fillRect(side + key * cell, query * cell, cell - 1, cell - 1);
  }));
  pen.globalAlpha = 1;
  const every = cell < 12 ? 2 : 1;
  names.forEach((name, at) => {
    if (at % every) return;
    const text = name.length > 12 ? `${name.slice(0, 11)}…` : name;
    pen.fillStyle = at === chosen.query ? mark : ink;
    pen.textAlign = "right";
    pen.fillText(text, side - 5, at * cell + cell / 2 + 4);
    pen.fillStyle = at === chosen.key ? mark : ink;
    pen.save();
    pen.translate(side + at * cell + cell / 2 + 4, length * cell + 5);
    pen.rotate(-Math.PI / 2);
    pen.fillText(text, 0, 0);
    pen.restore();
  });
  pen.strokeStyle = line;
  pen.strokeRect(side - 0.5, -0.5, cell * length, cell * length);
  pen.strokeStyle = ink;
  pen.lineWidth = 2;
  pen.strokeRect(side + chosen.key * cell - 1, chosen.query * cell - 1, cell + 1, cell + 1);
  return (x, y) => {
    const [key, query] = [Math.floor((x - side) / cell), Math.floor(y / cell)];
    return query >= 0 && query < length && key >= 0 && key <= query ? { query, key } : null;
  };
}

// One dot product with its numbers: the channels that add most.
function drawProduct(place, { q, k }, weight, others) {
  const products = Array.from(q, (value, channel) => ({ channel, q: value, k: k[channel], product: value * k[channel] }));
  const sum = products.reduce((total, { product }) => total + product, 0);
  const root = Math.sqrt(q.length);
  const ranked = [...products].sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  const [shown, rest] = [ranked.slice(0, 6), ranked.slice(6)];
  const table = make("table");
  const line = (cells, kind = "td") => {
    const row = make("tr");
    row.append(...cells.map((text) => make(kind, "", text)));
    return row;
  };
  table.append(line(["channel", "query", "key", "product"], "th"));
  for (const each of shown) table.append(line([each.channel, each.q.toFixed(3), each.k.toFixed(3), signed(each.product)]));
  if (rest.length) table.append(line([`${rest.length} others`, "", "", signed(rest.reduce((total, { product }) => total + product, 0))]));
  table.append(line(["sum", "", "", signed(sum)]), line([`divided by √${q.length}`, "", "", signed(sum / root)]));
  const closing = make("p", "dim", `The score is ${signed(sum / root)}. Its exponential, divided by the sum of those of all ${others} tokens up to there, is the attention: ${percent(weight)}.`);
  place.replaceChildren(make("p", "label", "The score is a dot product of two vectors:"), table, closing);
}

// A grid of numbers as colours: rows by columns.
function heat(values, rowNames, columnNames, format, largest) {
  const table = make("table", "heat");
  const head = make("tr");
  head.append(make("th"), ...columnNames.map((name) => make("th", "", name)));
  table.append(head);
  values.forEach((row, at) => {
    const line = make("tr");
    line.append(make("th", "", rowNames[at]));
    row.forEach((value) => {
      const cell = make("td", "", format(value));
      cell.dataset.side = value < 0 ? "against" : "for";
      cell.style.setProperty("--w", Math.min(1, Math.abs(value) / largest).toFixed(3));
      line.append(cell);
    });
    table.append(line);
  });
  const scroll = make("div", "scroll");
  scroll.append(table);
  return scroll;
}

// Tokens by their two main components; one can be chosen.
function drawMap(place, { ids, places, near, share }, own, name) {
  const [width, height, edge] = [680, 430, 30];
  const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("class", "map");
  drawing.setAttribute("role", "group");
  drawing.setAttribute("aria-label", "Tokens of the embedding; arrow keys go from one to the next");
  const said = make("p", "dim", "Choose a token for its nearest ones.");
  said.setAttribute("role", "status");
  const points = ids.map((id, at) => {
    const text = document.createElementNS(space, "text");
    text.textContent = spelled(name(id));
    const x = edge + ((places[at][0] - left) / (right - left || 1)) * (width - 2 * edge);
    text.setAttribute("x", x);
    text.style.textAnchor = x < 2 * edge ? "start" : x > width - 2 * edge ? "end" : "middle"; // long ones stay inside
    text.setAttribute("y", height - edge - ((places[at][1] - low) / (high - low || 1)) * (height - 2 * edge));
    text.setAttribute("class", own.has(id) ? "own" : "");
    text.setAttribute("tabindex", at ? "-1" : "0");
    text.setAttribute("role", "button");
    const choose = () => {
      drawing.querySelector(".picked")?.classList.remove("picked");
      text.classList.add("picked");
      said.textContent = `Nearest to ${spelled(name(id))}: ${near[id].map(([other, cosine]) => `${spelled(name(other))} ${cosine}`).join(", ")}`;
    };
    text.addEventListener("click", choose);
    text.addEventListener("focus", choose);
    text.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      points[(at + step + points.length) % points.length].focus();
    });
    return text;
  });
  drawing.append(...points.filter((_, at) => !own.has(ids[at])), ...points.filter((_, at) => own.has(ids[at])));
  const caption = make("p", "dim", `The two main directions of these tokens' vectors, which show ${percent(share)} of what tells them apart. Tokens of the text are bold.`);
  place.replaceChildren(caption, drawing, said);
}

function drawTable({ title, sentence, columns, rows }) {
  const details = make("details");
  const table = make("table");
  const head = make("tr");
  head.append(...columns.map((text) => make("th", "", text)));
  table.append(head, ...rows.map((cells) => {
    const line = make("tr");
    line.append(...cells.map((text) => make("td", "", text)));
    return line;
  }));
  const scroll = make("div", "scroll");
  scroll.append(table);
  details.append(make("summary", "", title), make("p", "dim", sentence), scroll);
  return details;
}
