// The decoder, one token at a time: what model/decoder.py computes, in plain JavaScript.

const BLOCK = 32; // weights that share one scale

// A matrix of 8-bit weights. Row r, column c is values[r * columns + c] * scales[(r * columns + c) / 32].
class Matrix {
  constructor({ rows, columns, values, scales }) {
    Object.assign(this, { rows, columns, values, scales });
  }

  row(r) {
    const out = new Float32Array(this.columns);
    const start = r * this.columns;
    for (let c = 0; c < this.columns; c++) out[c] = this.values[start + c] * this.scales[Math.floor((start + c) / BLOCK)];
    return out;
  }

  // Matrix times vector: each output is one row's dot product with x.
  times(x) {
    const out = new Float32Array(this.rows);
    const { values, scales, columns } = this;
    for (let r = 0, at = 0; r < this.rows; r++) {
      let sum = 0;
      for (let c = 0; c < columns; c += BLOCK) {
        let part = 0;
        const end = Math.min(c + BLOCK, columns);
        for (let i = c; i < end; i++) part += values[at++] * x[i];
        sum += part * scales[Math.floor((at - 1) / BLOCK)];
      }
      out[r] = sum;
    }
    return out;
  }
}

// Divide by the root of the mean square, then scale each channel.
function rmsNorm(x, weight, eps) {
  let squares = 0;
  for (const value of x) squares += value * value;
  const inverse = 1 / Math.sqrt(squares / x.length + eps);
  return x.map((value, i) => value * inverse * (weight ? weight[i] : 1));
}

const silu = (x) => x / (1 + Math.exp(-x));

function softmax(scores) {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const shares = scores.map((score) => Math.exp(score - largest));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

class Model {
  constructor(config, tensors) {
    Object.assign(this, { config, tensors });
    this.clear();
  }

  clear() {
    this.ids = [];
    this.keys = Array.from({ length: this.config.layers }, () => []);
    this.values = Array.from({ length: this.config.layers }, () => []);
  }

  get length() {
    return this.ids.length;
  }

  // Forget all tokens after the first `length`.
  rewind(length) {
    for (const kept of [this.ids, ...this.keys, ...this.values]) kept.length = length;
  }

  // Read one token; return the scores of all tokens that may follow it. `looked` then holds, for each token so far,
  // this one's attention on it: the mean over all layers and heads. A watch (inspection/page/reading.js) sees the values
  // on the way, and names the parts that are switched off.
  step(id, watch = null) {
    this.looked = new Float32Array(this.length + 1);
    let x = this.tensors["embedding.weight"].row(id);
    for (let layer = 0; layer < this.config.layers; layer++) {
      watch?.stream(layer, x);
      x = add(x, this.attend(layer, this.norm(x, `blocks.${layer}.attention_norm.weight`), watch));
      const added = this.feedForward(layer, this.norm(x, `blocks.${layer}.feed_forward_norm.weight`));
      if (!watch?.off.has(`${layer}`)) x = add(x, added);
      watch?.feedForward(layer, added);
    }
    watch?.stream(this.config.layers, x);
    this.ids.push(id);
    const head = this.tensors["head.weight"] ?? this.tensors["embedding.weight"];
    const logits = head.times(this.norm(x, "final_norm.weight"));
    const cap = this.config.logit_softcap;
    return cap ? logits.map((logit) => cap * Math.tanh(logit / cap)) : logits;
  }

  norm(x, name) {
    return rmsNorm(x, this.tensors[name], this.config.eps);
  }

  attend(layer, x, watch = null) {
    const { heads, kv_heads, head_dim, layers } = this.config;
    const part = (name) => this.tensors[`blocks.${layer}.attention.${name}.weight`];
    const queries = this.placed(part("query").times(x), heads, part("query_norm"));
    this.keys[layer].push(this.placed(part("key").times(x), kv_heads, part("key_norm")));
    this.values[layer].push(part("value").times(x));
    const mixed = new Float32Array(heads * head_dim);
    for (let head = 0; head < heads; head++) {
      const from = Math.floor(head / (heads / kv_heads)) * head_dim; // several heads share keys and values
      const scores = this.keys[layer].map((key) => {
        let sum = 0;
        for (let i = 0; i < head_dim; i++) sum += queries[head * head_dim + i] * key[from + i];
        return sum / Math.sqrt(head_dim);
      });
      const shares = softmax(scores);
      watch?.pattern(layer, head, shares, queries);
      if (watch?.off.has(`${layer}.${head}`)) continue;
      shares.forEach((share, position) => {
        const value = this.values[layer][position];
        this.looked[position] += share / (heads * layers);
        for (let i = 0; i < head_dim; i++) mixed[head * head_dim + i] += share * value[from + i];
      });
    }
    watch?.mixed(layer, mixed);
    return part("output").times(mixed);
  }

  // Normalise each head, then turn its pairs of channels by the position's angle.
  placed(all, heads, weight) {
    const { head_dim, frequencies, qk_norm, eps } = this.config;
    const half = frequencies.length;
    const out = new Float32Array(all.length);
    for (let head = 0; head < heads; head++) {
      let x = all.subarray(head * head_dim, (head + 1) * head_dim);
      if (qk_norm) x = rmsNorm(x, weight, eps);
      out.set(x, head * head_dim);
      for (let i = 0; i < half; i++) {
        const angle = this.length * frequencies[i];
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        out[head * head_dim + i] = x[i] * cos - x[i + half] * sin;
        out[head * head_dim + i + half] = x[i + half] * cos + x[i] * sin;
      }
    }
    return out;
  }

  feedForward(layer, x) {
    const part = (name) => this.tensors[`blocks.${layer}.feed_forward.${name}.weight`];
    const gate = part("gate").times(x);
    const up = part("up").times(x);
    return part("down").times(gate.map((value, i) => silu(value) * up[i]));
  }
}

function add(x, y) {
  return x.map((value, i) => value + y[i]);
}
