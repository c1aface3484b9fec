// The page: ask, show what is written and what else could have come.

const SHOWN = 8; // alternatives shown for a token
const loaded = load(JSON.parse(document.getElementById("model").textContent));
const { stored, tokenizer } = loaded;

function promptIds(text) {
  const asked = stored.conversation;
  if (asked) return [...asked.before, ...tokenizer.encode(text.trim()), ...asked.after];
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
  for (const token of generate(loaded, promptIds(document.getElementById("prompt").value), count, temperature)) {
    if (mine !== running) return;
    show(output, token);
    await new Promise((resume) => setTimeout(resume, 0)); // let the browser draw
  }
}

document.getElementById("write").addEventListener("click", run);
document.getElementById("facts").textContent = stored.facts;

// file.html#greedy=64&prompt=Once writes its ids into the page at once: how a program asks.
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.has("greedy")) {
  const ids = stored.conversation && !asked.has("plain") ? promptIds(asked.get("prompt")) : tokenizer.encode(asked.get("prompt"));
  const written = Array.from(generate(loaded, ids, Number(asked.get("greedy")), 0), ({ id }) => id);
  document.getElementById("ids").textContent = JSON.stringify(written);
}
