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

function choose(shares, draw) {
  let left = draw;
  for (let id = 0; id < shares.length; id++) if ((left -= shares[id]) < 0) return id;
  return shares.length - 1;
}

// Yield {id, shares} for each new token; temperature 0 takes the likeliest.
function* generate({ stored, model }, ids, count, temperature) {
  model.clear();
  let logits;
  for (const id of ids.slice(-(stored.config.context - 1))) logits = model.step(id);
  for (let n = 0; n < count && model.length < stored.config.context; n++) {
    const shares = softmax(temperature > 0 ? logits.map((logit) => logit / temperature) : logits);
    const likeliest = logits.reduce((best, logit, id) => (logit > logits[best] ? id : best), 0);
    const id = temperature > 0 ? choose(shares, Math.random()) : likeliest;
    if (stored.stop_ids.includes(id)) return;
    yield { id, shares };
    logits = model.step(id);
  }
}
