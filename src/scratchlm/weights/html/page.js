// The page: ask, show what is written and what else could have come.

const SHOWN = 8; // alternatives shown for a token
const loaded = load(JSON.parse(document.getElementById("model").textContent));
const { stored, tokenizer } = loaded;

// Of a model that has learned conversations: a message to answer, or, as of every other, a text to continue.
function promptIds(text, chat) {
  const around = stored.conversation;
  if (around && chat) return [...around.before, ...tokenizer.encode(text.trim()), ...around.after];
  const ids = [...stored.begin, ...tokenizer.encode(text)];
  return ids.length ? ids : [stored.end_of_text];
}

function show(output, { id, shares }) {
  const span = document.createElement("span");
  span.textContent = tokenizer.decode([id]);
  const best = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]).slice(0, SHOWN);
  span.title = best.map((other) => `${(100 * shares[other]).toFixed(1)}%  ${JSON.stringify(tokenizer.decode([other]))}`).join("\n");
  span.style.setProperty("--sure", shares[id].toFixed(3));
  output.append(span);
}

let running = 0;

async function run() {
  const mine = ++running;
  const output = document.getElementById("output");
  output.replaceChildren();
  const temperature = Number(document.getElementById("temperature").value);
  const count = Number(document.getElementById("count").value);
  const chat = document.querySelector("input[name=mode]:checked").value === "chat";
  for (const token of generate(loaded, promptIds(document.getElementById("prompt").value, chat), count, temperature)) {
    if (mine !== running) return;
    show(output, token);
    await new Promise((resume) => setTimeout(resume, 0)); // let the browser draw
  }
}

document.getElementById("write").addEventListener("click", run);
document.getElementById("facts").textContent = stored.facts;
document.getElementById("modes").hidden = !stored.conversation;

// file.html#greedy=64&prompt=Once writes its ids into the page at once: how a program asks; &plain continues the text.
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.has("greedy")) {
  const ids = promptIds(asked.get("prompt"), !asked.has("plain"));
  const written = Array.from(generate(loaded, ids, Number(asked.get("greedy")), 0), ({ id }) => id);
  document.getElementById("ids").textContent = JSON.stringify(written);
}
