// Byte-level byte-pair encoding: text to ids and back, as tokens/bpe.py does it.

class Tokenizer {
  // tokens: for each id its bytes, spelled one character a byte; specials: text -> id; pattern: how text is split first.
  constructor({ tokens, specials, pattern }) {
    this.tokens = tokens;
    this.specials = specials;
    this.split = new RegExp(pattern, "gu");
    this.idOf = new Map();
    const special = new Set(Object.values(specials));
    tokens.forEach((bytes, id) => { if (bytes !== null && !special.has(id)) this.idOf.set(bytes, id); });
  }

  encode(text) {
    const ids = [];
    for (const [chunk] of text.matchAll(this.split)) ids.push(...this.merge(chunk));
    return ids;
  }

  // Start from single bytes; of all neighbours that make a token, join the pair whose token was learned first.
  merge(chunk) {
    let parts = Array.from(new TextEncoder().encode(chunk), (byte) => String.fromCharCode(byte));
    for (;;) {
      let best = Infinity;
      for (let i = 0; i + 1 < parts.length; i++) best = Math.min(best, this.idOf.get(parts[i] + parts[i + 1]) ?? Infinity);
      if (best === Infinity) return parts.map((part) => this.idOf.get(part));
      const joined = [];
      for (let i = 0; i < parts.length; i++) {
        if (i + 1 < parts.length && this.idOf.get(parts[i] + parts[i + 1]) === best) joined.push(parts[i] + parts[++i]);
        else joined.push(parts[i]);
      }
      parts = joined;
    }
  }

  decode(ids) {
    const bytes = ids.flatMap((id) => Array.from(this.tokens[id] ?? "", (character) => character.charCodeAt(0)));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
  }
}
