// Asking and answering: a conversation with a model that has learned some, a text to continue with every other.

const exchanges = [];
let current = null; // the answer that is being written

const answers = () => Boolean(stored.conversation) && document.querySelector("input[name=mode]:checked").value === "chat";

// Ids of a prompt, and the element that shows each of them, or null. Of a conversation that leaves less than a quarter
// of the context for the answer the oldest exchanges are left out, as `scratchlm chat` does.
function promptOf(exchange) {
  const parts = exchange.chat ? turnsOf(exchange).flat() : [[stored.begin], [exchange.ids, exchange.said]];
  const ids = parts.flatMap(([each]) => each);
  const places = parts.flatMap(([each, spans]) => spans ?? each.map(() => null));
  return ids.length ? { ids, places } : { ids: [stored.end_of_text], places: [null] };
}

function turnsOf(exchange) {
  const { before, between, after } = stored.conversation;
  const earlier = exchanges.filter((each) => each.chat);
  for (;;) {
    const turns = [...earlier, exchange].map((each, number) => {
      const kept = each.answer.filter((token) => !token.ends);
      const written = [kept.map((token) => token.id), kept.map((token) => token.span)];
      return [[number ? between : before], [each.ids, each.said], [after], written];
    });
    const size = turns.flat().reduce((sum, [ids]) => sum + (ids?.length ?? 0), 0);
    if (!earlier.length || (between && size <= Math.floor((3 * stored.config.context) / 4))) return turns;
    earlier.shift().show.classList.add("forgotten");
    exchanges.splice(exchanges.findIndex((each) => each.chat), 1);
  }
}

// The ids of what a user wrote, each shown as a piece of text in an element.
function show(ids, container) {
  const spelling = new Spelling();
  return ids.map((id) => {
    const { span, space } = spell("read", spelling.next(id));
    container.append(space, span);
    return span;
  });
}

function begin(text) {
  const chat = answers();
  const ids = tokenizer.encode(chat ? text.trim() : text);
  const exchange = { chat, ids, answer: [], show: make("div"), written: make("div", chat ? "answer" : "sheet sample") };
  const bubble = chat ? make("div", "said") : exchange.written;
  exchange.said = show(ids, bubble);
  exchange.show.append(...new Set([bubble, exchange.written]));
  log.append(exchange.show);
  const { ids: prompt, places } = promptOf(exchange);
  exchanges.push(exchange);
  if (prompt.length >= stored.config.context) {
    element("status").textContent = `This is ${prompt.length} tokens long; the model's context holds ${stored.config.context}. Its end alone is read.`;
    places.splice(0, prompt.length - stored.config.context + 1);
  }
  Object.assign(exchange, { prompt: prompt.slice(-(stored.config.context - 1)), places, spelling: new Spelling() });
  return exchange;
}

function put(exchange, token) {
  token.span = tokenSpan(token, exchange, exchange.answer.length);
  exchange.answer.push(token);
  exchange.places.push(token.span);
  exchange.written.append(token.space, token.span);
}

function halt() {
  if (current) current.stopped = true;
}

// Write an answer, or go on with one from the tokens that it has. It ends early where it is stopped, or another begins.
async function write(exchange) {
  halt();
  const mine = (current = { exchange, stopped: false });
  const sampling = { ...stored.sampling, temperature: Number(element("temperature").value), max_tokens: Number(element("count").value) };
  const ids = [...exchange.prompt, ...exchange.answer.map((token) => token.id)];
  exchange.written.classList.add("writing");
  element("write").textContent = "Stop";
  const started = performance.now();
  let drawn = started, count = 0, ended = false;
  for (const token of generate(loaded, ids, sampling)) {
    if (token) {
      put(exchange, token);
      count += 1;
      ended = token.ends;
    }
    if (performance.now() - drawn < 30) continue;
    exchange.written.scrollIntoView({ block: "nearest" });
    await new Promise((resume) => setTimeout(resume, 0)); // let the browser draw, and hear a click
    drawn = performance.now();
    if (mine.stopped) break;
  }
  if (current !== mine && current !== null) return exchange.written.classList.toggle("writing", current.exchange === exchange);
  current = null;
  exchange.written.classList.remove("writing");
  exchange.written.scrollIntoView({ block: "nearest" });
  const seconds = (performance.now() - started) / 1000;
  const full = loaded.model.length >= stored.config.context && !ended ? " The context is full." : "";
  const context = `${loaded.model.length} of ${stored.config.context} tokens of context.`;
  element("status").textContent = `${count} tokens in ${seconds.toFixed(1)} seconds. ${context}${full}`;
  element("spoken").textContent = exchange.written.textContent;
  element("write").textContent = answers() ? "Ask" : "Write";
}

// Take another token in the place of one that was written, and go on from there; what came after it is gone.
function goOn(exchange, index, other) {
  const taken = { ...exchange.answer[index], ...other, ends: stored.stop_ids.includes(other.id) };
  const later = exchanges.splice(exchanges.indexOf(exchange) + 1);
  for (const each of later) each.show.remove();
  for (const token of exchange.answer.splice(index)) for (const part of [token.space, token.span]) part.remove();
  exchange.places.length = exchange.prompt.length + index;
  exchange.spelling = new Spelling();
  for (const token of exchange.answer) exchange.spelling.next(token.id);
  put(exchange, taken);
  inspect(taken.span);
  taken.span.focus();
  if (taken.ends) halt();
  else write(exchange);
}

function ask(text) {
  leave();
  write(begin(text));
}

function send() {
  const field = element("prompt");
  if (current) return halt();
  const text = field.value;
  if (answers() && !text.trim()) return field.focus();
  if (answers()) field.value = "";
  fit();
  ask(text);
}

// As many lines as the text has.
function fit() {
  const field = element("prompt");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

// Words and samples of the mode that is chosen.
function dress() {
  const chat = answers();
  element("write").textContent = chat ? "Ask" : "Write";
  element("prompt").placeholder = chat ? "Ask something" : "Begin a text";
  element("prompt").setAttribute("aria-label", element("prompt").placeholder);
  element("invitation").textContent = chat ? "Ask it something, such as" : "Begin a text, such as";
  element("samples").replaceChildren(...stored.samples[chat ? "questions" : "beginnings"].map((text) => {
    const button = make("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => ask(text));
    return button;
  }));
}

element("lead").textContent = stored.lead;
element("facts").textContent = stored.facts;
element("modes").hidden = !stored.conversation;
element("temperature").value = stored.sampling.temperature;
element("count").value = Math.min(stored.sampling.max_tokens, 500);
element("heat").textContent = element("temperature").value;
element("temperature").addEventListener("input", () => { element("heat").textContent = element("temperature").value; });
element("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
element("prompt").addEventListener("input", fit);
element("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
element("clear").addEventListener("click", () => {
  halt();
  leave();
  exchanges.length = 0;
  log.replaceChildren();
  element("status").textContent = "";
});
for (const mode of document.querySelectorAll("input[name=mode]")) mode.addEventListener("change", dress);
dress();

// file.html#greedy=64&prompt=Once writes its ids into the page at once: how a program asks; &plain continues the text.
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.has("greedy")) {
  if (stored.conversation && asked.has("plain")) document.querySelector("input[value=continue]").checked = true;
  const sampling = { ...stored.sampling, temperature: 0, max_tokens: Number(asked.get("greedy")) };
  const written = Array.from(generate(loaded, begin(asked.get("prompt")).prompt, sampling)).filter((token) => token && !token.ends);
  element("ids").textContent = JSON.stringify(written.map(({ id }) => id));
}
