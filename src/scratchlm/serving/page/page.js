// A conversation with a model of this server, by the API that other programs use too.

const element = (id) => document.getElementById(id);
const turns = []; // what was said, as the API takes it
let writing = null; // what stops the answer that is being written

// The key is kept for this tab alone, and only where the server asks for one.
function headers() {
  const key = sessionStorage.getItem("key");
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function answered(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: headers(), ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) askForKey();
  const body = await response.json().catch(() => null);
  throw new Error(body?.error?.message ?? `The server answered with status ${response.status}.`);
}

function askForKey() {
  sessionStorage.removeItem("key");
  element("entry").hidden = false;
  element("ask").hidden = true;
  element("key").focus();
}

function showError(error) {
  element("error").textContent = error?.message ?? "";
  element("error").hidden = !error;
}

async function loadModels() {
  showError(null);
  try {
    const { data } = await (await answered("v1/models")).json();
    const talking = data.filter((model) => model.chat);
    element("model").replaceChildren(...talking.map(({ id }) => new Option(id)));
    element("models").hidden = talking.length < 2;
    element("name").textContent = talking.length === 1 ? talking[0].id : "";
    element("entry").hidden = true;
    element("ask").hidden = false;
    element("send").disabled = !talking.length;
    if (!talking.length) throw new Error("No model of this server has learned conversations; programs reach it at /v1/completions.");
    element("message").focus();
  } catch (error) {
    showError(error);
  }
}

function addTurn(role, text) {
  const turn = document.createElement("article");
  const heading = document.createElement("h2");
  const words = document.createElement("p");
  turn.className = `turn ${role}`;
  heading.textContent = role === "user" ? "You" : element("model").value;
  words.textContent = text;
  turn.append(heading, words);
  element("turns").append(turn);
  element("hint").hidden = true;
  element("new").hidden = false;
  turn.scrollIntoView({ block: "end" });
  return turn;
}

// Yield the objects of a stream of server-sent events, which the server writes one a line.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

async function write(turn) {
  const words = turn.querySelector("p");
  const temperature = element("temperature").value;
  const body = { model: element("model").value, messages: turns, stream: true };
  if (temperature !== "") body.temperature = Number(temperature);
  const response = await answered("v1/chat/completions", {
    method: "POST", body: JSON.stringify(body), signal: writing.signal,
  });
  for await (const part of events(response)) {
    if (part.error) throw new Error(part.error.message);
    const main = document.querySelector("main");
    const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 60; // who scrolled up is reading there
    words.textContent += part.choices[0]?.delta.content ?? "";
    if (part.choices[0]?.finish_reason === "length") note(turn, "The answer ends here: the model's context is full.");
    if (atEnd) main.scrollTop = main.scrollHeight;
  }
}

function note(turn, text) {
  const small = document.createElement("small");
  small.textContent = text;
  turn.append(small);
}

function setWriting(controller) {
  writing = controller;
  element("send").hidden = element("model").disabled = element("new").disabled = !!controller;
  element("stop").hidden = !controller;
}

async function send() {
  const message = element("message").value;
  if (writing || element("send").disabled || !message.trim()) return;
  showError(null);
  setWriting(new AbortController());
  turns.push({ role: "user", content: message });
  const question = addTurn("user", message);
  const turn = addTurn("assistant", "");
  turn.classList.add("writing");
  turn.setAttribute("aria-busy", "true"); // read aloud when it is whole, not word by word
  element("message").value = "";
  element("status").textContent = "The model is writing.";
  try {
    await write(turn);
    element("status").textContent = "The answer is complete.";
  } catch (error) {
    if (error.name === "AbortError") note(turn, "Stopped.");
    else showError(error);
    element("status").textContent = error.name === "AbortError" ? "Stopped." : "";
  }
  turn.classList.remove("writing");
  turn.removeAttribute("aria-busy");
  const text = turn.querySelector("p").textContent;
  if (text) {
    turns.push({ role: "assistant", content: text });
  } else { // nothing came: the message can be sent again
    turns.pop();
    question.remove();
    turn.remove();
    element("message").value ||= message;
  }
  setWriting(null);
  if (!element("ask").hidden) element("message").focus();
}

element("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
element("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener("keydown", (event) => event.key === "Escape" && writing?.abort());
element("stop").addEventListener("click", () => writing?.abort());
element("new").addEventListener("click", () => {
  turns.length = 0;
  element("turns").replaceChildren();
  element("hint").hidden = false;
  element("new").hidden = true;
  showError(null);
  element("message").focus();
});
element("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", element("key").value.trim());
  element("key").value = "";
  loadModels();
});
loadModels();
