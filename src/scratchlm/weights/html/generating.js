// Reading the model out of the file, and writing text with it.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// 8-bit matrices carry half-precision scales; small tensors are 32-bit.
function readTensor({ shape, values, scales, numbers }) {
  if (numbers !== undefined) return new Float32Array(bytesOf(numbers).buffer);
  const half = new Uint16Array(bytesOf(scales).buffer);
  return new Matrix({
    rows: shape[0],
    columns: shape[1],
    values: new Int8Array(bytesOf(values).buffer),
    scales: Float32Array.from(half, fromHalf),
  });
}

function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// What the file holds, ready to run.
function load(stored) {
  const tensors = Object.fromEntries(Object.entries(stored.tensors).map(([name, kept]) => [name, readTensor(kept)]));
  return { stored, tokenizer: new Tokenizer(stored.tokenizer), model: new Model(stored.config, tensors) };
}

// The probabilities that the next token is drawn from, as generation/sampling.py computes them.
function nextProbabilities(logits, ids, { temperature, top_k, top_p, min_p, repetition_penalty }) {
  let scores = Float64Array.from(logits);
  if (repetition_penalty !== 1) {
    for (const id of new Set(ids)) scores[id] = scores[id] > 0 ? scores[id] / repetition_penalty : scores[id] * repetition_penalty;
  }
  if (temperature === 0) {
    const likeliest = scores.reduce((best, score, id) => (score > scores[best] ? id : best), 0);
    return scores.map((_, id) => (id === likeliest ? 1 : 0));
  }
  scores = scores.map((score) => score / Math.max(temperature, 1e-6));
  if (top_k > 0 && top_k < scores.length) {
    const least = Float64Array.from(scores).sort()[scores.length - top_k];
    scores = scores.map((score) => (score < least ? -Infinity : score));
  }
  let shares = softmax(scores);
  if (top_p < 1) {
    let before = 0; // of the likelier ones: the first that reaches top_p stays
    for (const id of Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a])) {
      if (before >= top_p) scores[id] = -Infinity;
      before += shares[id];
    }
    shares = softmax(scores);
  }
  if (min_p > 0) {
    const least = min_p * shares.reduce((a, b) => Math.max(a, b), 0);
    shares = softmax(scores.map((score, id) => (shares[id] < least ? -Infinity : score)));
  }
  return shares;
}

function choose(shares) {
  let left = Math.random();
  let last = 0;
  for (let id = 0; id < shares.length; id++) {
    if (shares[id] === 0) continue;
    if ((left -= shares[id]) < 0) return id;
    last = id;
  }
  return last; // the sum was rounded to less than 1
}

// The likeliest ids, best first.
function likeliest(shares, count) {
  const best = [];
  for (let id = 0; id < shares.length; id++) {
    if (best.length === count && shares[id] <= shares[best[count - 1]]) continue;
    let at = best.length;
    while (at > 0 && shares[best[at - 1]] < shares[id]) at--;
    best.splice(at, 0, id);
    best.length = Math.min(best.length, count);
  }
  return best;
}

// Read a prompt, then write. Yields null after each token that is read, so that a page can draw meanwhile, and of each
// that is written: its id; `probability`, the model's own, before temperature and filters; `others`, the ten likeliest
// ids with theirs; `looked`, the attention on all tokens before it; and `ends`, whether it is one that ends the text.
// What the model has read already is not read again. `draw` chooses an id by its probabilities.
function* generate({ stored, model }, prompt, sampling, draw = choose) {
  const ids = prompt.slice(-(stored.config.context - 1));
  let alike = 0;
  while (alike < Math.min(model.length, ids.length - 1) && model.ids[alike] === ids[alike]) alike++;
  model.rewind(alike);
  let logits;
  for (const id of ids.slice(alike)) {
    logits = model.step(id);
    yield null;
  }
  for (let n = 0; n < sampling.max_tokens && model.length < stored.config.context; n++) {
    const shares = softmax(logits);
    const id = draw(nextProbabilities(logits, model.ids, sampling));
    const ends = stored.stop_ids.includes(id);
    const others = likeliest(shares, 10).map((other) => ({ id: other, probability: shares[other] }));
    yield { id, probability: shares[id], others, looked: model.looked, ends };
    if (ends) return;
    logits = model.step(id);
  }
}
