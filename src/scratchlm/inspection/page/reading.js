// One prompt, read: by the model in this page, or as it was computed when the page was written.

// What a forward pass shows on the way (weights/html/forward.js calls it), and the parts that are switched off: "3.1" is
// head 1 of layer 3, "3" its feed-forward.
class Watch {
  constructor({ layers, heads }, off) {
    this.off = off;
    this.patterns = Array.from({ length: layers }, () => Array.from({ length: heads }, () => []));
    this.queries = Array.from({ length: layers }, () => []);
    this.streams = [];
    this.parts = [];
    this.added = [];
  }

  stream(layer, x) {
    this.streams[layer] = x; // of the newest token: the lens asks for it alone
  }

  pattern(layer, head, shares, queries) {
    this.patterns[layer][head].push(Float32Array.from(shares));
    if (head === 0) this.queries[layer].push(queries);
  }

  mixed(layer, x) {
    this.parts[layer] = x;
  }

  feedForward(layer, x) {
    this.added[layer] = this.off.has(`${layer}`) ? new Float32Array(x.length) : x;
  }
}

const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);

// The model of this page reads ids. `target` is the token in question; null: the likeliest.
function readLive(model, ids, off, target = null) {
  const { config, tensors } = model;
  const watch = new Watch(config, off);
  model.clear();
  let logits;
  const losses = [null];
  ids.forEach((id, at) => {
    logits = model.step(id, watch);
    if (at + 1 < ids.length) losses.push(-Math.log(Math.max(softmax(logits)[ids[at + 1]], 1e-30)));
  });
  const chances = softmax(logits);
  const best = likeliest(chances, 10);
  const chosen = target ?? best[0];
  const head = tensors["head.weight"] ?? tensors["embedding.weight"];
  const lens = watch.streams.map((x) => {
    const said = softmax(head.times(model.norm(x, "final_norm.weight")));
    return likeliest(said, 3).map((id) => [id, said[id]]);
  });
  return {
    ids, losses, lens, target: chosen,
    probability: chances[chosen],
    next: best.map((id) => [id, chances[id]]),
    shares: sharesOf(model, watch, chosen),
    pattern: (layer, head) => watch.patterns[layer][head],
    vectors: (layer, head, query, key) => {
      const { heads, kv_heads, head_dim } = config;
      const from = Math.floor(head / (heads / kv_heads)) * head_dim;
      const q = watch.queries[layer][query].subarray(head * head_dim, (head + 1) * head_dim);
      return { q, k: model.keys[layer][key].subarray(from, from + head_dim) };
    },
  };
}

// What each part adds, by itself, to the score of a token: inspection/attribution.py says how.
function sharesOf(model, watch, target) {
  const { config, tensors } = model;
  const { layers, heads, head_dim } = config;
  const final = watch.streams[layers];
  const divisor = Math.sqrt(dot(final, final) / final.length + config.eps);
  const weight = tensors["final_norm.weight"];
  const row = (tensors["head.weight"] ?? tensors["embedding.weight"]).row(target);
  const direction = row.map((value, i) => (value * (weight ? weight[i] : 1)) / divisor);
  const ofHeads = Array.from({ length: layers }, (_, layer) => Array.from({ length: heads }, (_, head) => {
    const alone = new Float32Array(heads * head_dim);
    const from = head * head_dim;
    alone.set(watch.parts[layer].subarray(from, from + head_dim), from);
    return dot(tensors[`blocks.${layer}.attention.output.weight`].times(alone), direction);
  }));
  return {
    embedding: dot(watch.streams[0], direction), rest: 0, logit: dot(final, direction), heads: ofHeads,
    attention_bias: Array(layers).fill(0),
    feed_forward: watch.added.map((x) => dot(x, direction)),
  };
}

// A prompt as it was read when the page was written.
function readStored(stored, { heads }) {
  const length = stored.ids.length;
  const size = (length * (length + 1)) / 2;
  const bytes = bytesOf(stored.pattern);
  const vectors = Object.fromEntries(["q", "k"].filter((name) => stored[name]).map((name) => [
    name, { ...stored[name], values: Float32Array.from(new Uint16Array(bytesOf(stored[name].values).buffer), fromHalf) },
  ]));
  const vector = ({ heads: of, size: wide, values }, layer, head, at) => {
    const from = ((layer * length + at) * of + Math.floor((head * of) / heads)) * wide;
    return values.subarray(from, from + wide);
  };
  return {
    ...stored,
    pattern: (layer, head) => Array.from({ length }, (_, query) => {
      const from = (layer * heads + head) * size + (query * (query + 1)) / 2;
      return Float32Array.from(bytes.subarray(from, from + query + 1), (value) => value / 255);
    }),
    vectors: vectors.q && ((layer, head, query, key) => ({
      q: vector(vectors.q, layer, head, query), k: vector(vectors.k, layer, head, key),
    })),
  };
}
