// The page: tokens that can be looked into. Texts are set as text, never as HTML.

const element = (id) => document.getElementById(id);
const make = (kind, className = "", text = "") => Object.assign(document.createElement(kind), { className, textContent: text });
const percent = (part) => (part < 0.0005 ? "<0.1%" : `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)}%`);

const loaded = load(JSON.parse(element("model").textContent));
const { stored, tokenizer } = loaded;
const log = element("log");
const tokens = new WeakMap(); // span -> { token, exchange, index }
let chosen = null; // the span whose alternatives are shown

// What a token is called where it stands alone: without the space before a word, other white space made visible.
function nameOf(id) {
  if (stored.stop_ids.includes(id)) return "(end)";
  return tokenizer.decode([id]).replace(/^ (?=\S)/, "").replaceAll("\n", "↵").replaceAll(" ", "␣");
}

// Bytes to text as they come: a token that holds a part of a character shows nothing until the last part is there.
class Spelling {
  constructor() {
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  }

  next(id) {
    const bytes = Array.from(tokenizer.tokens[id] ?? "", (character) => character.charCodeAt(0));
    return this.decoder.decode(new Uint8Array(bytes), { stream: true });
  }
}

// The text of a token as an element, the space before a word outside of it, where a line may break.
function spell(className, text) {
  const [, space, word] = text.match(/^( (?=\S))?([^]*)$/);
  return { span: make("span", className, word), space: document.createTextNode(space ?? "") };
}

// A token that was written, as an element that can be chosen.
function tokenSpan(token, exchange, index) {
  const text = token.ends ? "" : exchange.spelling.next(token.id);
  const { span, space } = spell(token.ends ? "token end" : text ? "token" : "token part", text);
  token.space = space;
  span.setAttribute("role", "button");
  span.setAttribute("aria-label", `${token.ends ? "end of the text" : nameOf(token.id)}, ${percent(token.probability)}`);
  span.tabIndex = index === 0 ? 0 : -1;
  span.style.setProperty("--sure", token.probability.toFixed(3));
  tokens.set(span, { token, exchange, index });
  return span;
}

// Shade earlier tokens by the attention of the step that wrote this one; say where most of it went.
function look(span) {
  const { token, exchange } = tokens.get(span);
  unlook();
  const places = exchange.places;
  const seen = Array.from(token.looked, (weight, position) => ({ weight, place: places[position] }));
  const shown = seen.filter(({ place }) => place);
  const most = shown.reduce((largest, { weight }) => Math.max(largest, weight), 1e-9);
  for (const { weight, place } of shown) place.style.setProperty("--w", (weight / most).toFixed(3));
  log.classList.add("looking");
  return { shown, elsewhere: seen.filter(({ place }) => !place).reduce((sum, { weight }) => sum + weight, 0) };
}

function unlook() {
  log.classList.remove("looking");
  for (const each of log.querySelectorAll("[style*='--w']")) each.style.removeProperty("--w");
}

// The side panel: what the token is, what it looked at, and the ten likeliest tokens in its place.
function inspect(span) {
  const { token, exchange, index } = tokens.get(span);
  chosen?.removeAttribute("aria-current");
  chosen = span;
  span.setAttribute("aria-current", "true");
  const { shown, elsewhere } = look(span);
  element("token").textContent = token.ends ? `The end: ${percent(token.probability)}` : `“${nameOf(token.id)}”: ${percent(token.probability)}`;
  const best = shown.filter(({ place }) => place.textContent.trim()).sort((a, b) => b.weight - a.weight).slice(0, 3);
  const words = best.map(({ weight, place }) => `“${place.textContent.trim()}” ${percent(weight)}`).join(", ");
  const rest = elsewhere > 0.0005 ? ` ${percent(elsewhere)} fell on tokens that are not shown, which mark who speaks and where a text begins.` : "";
  element("looked").textContent = (words ? `To write it, the model looked most at ${words}.` : "Nothing was there to look at.") + rest;
  element("others").replaceChildren(...token.others.map((other) => {
    const row = make("button");
    const bar = make("i", other.id === token.id ? "true" : "");
    bar.style.width = `${(100 * other.probability) / token.others[0].probability}%`;
    const track = make("div");
    track.append(bar);
    row.type = "button";
    row.append(make("code", "", nameOf(other.id)), track, make("b", "", percent(other.probability)));
    if (other.id === token.id) row.setAttribute("aria-current", "true");
    row.addEventListener("click", () => goOn(exchange, index, other));
    return row;
  }));
  const sum = token.others.reduce((total, { probability }) => total + probability, 0);
  element("rest").textContent = `All other tokens together: ${percent(Math.max(0, 1 - sum))}.`;
  showPanel(true);
  span.scrollIntoView({ block: "nearest" });
}

function showPanel(open) {
  element("chosen").hidden = !open;
  element("hint").hidden = open;
  element("inspector").classList.toggle("open", open);
  document.querySelector(".talk").classList.toggle("inspecting", open);
}

function leave() {
  const span = chosen;
  chosen?.removeAttribute("aria-current");
  chosen = null;
  unlook();
  showPanel(false);
  return span;
}

const tokenOf = (event) => (tokens.has(event.target) ? event.target : null);
log.addEventListener("pointerover", (event) => { if (tokenOf(event)) look(event.target); });
log.addEventListener("pointerout", () => (chosen ? look(chosen) : unlook()));
log.addEventListener("click", (event) => { if (tokenOf(event)) inspect(event.target); });
log.addEventListener("focusin", (event) => { if (tokenOf(event)) look(event.target); });
log.addEventListener("focusout", () => (chosen ? look(chosen) : unlook()));
log.addEventListener("keydown", (event) => {
  const span = tokenOf(event);
  if (!span) return;
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  const all = [...span.parentElement.querySelectorAll(".token")];
  const other = { Home: all[0], End: all[all.length - 1] }[event.key] ?? (step && all[all.indexOf(span) + step]);
  if (other) {
    span.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
  } else if (event.key === "Enter" || event.key === " ") {
    inspect(span);
    element("others").querySelector("button").focus();
  } else if (!step) return;
  event.preventDefault();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen) leave().focus();
});
element("close").addEventListener("click", () => leave().focus());
