// A run's log in the browser: bytes in, display lines out. No DOM, no React; tests run it in node.
//
// The log is addressed by BYTES. A frame carries the offset of its first byte; what was already
// seen is trimmed, what lies ahead of us is refused ("gap") and asked for again from `next`.
//
// A job writes these bytes, so all of them are hostile: the text is cut into plain spans and never
// becomes HTML, colours are the only escape sequences that do anything, everything else is shown.

export const HEADER = 17;
export const SPLIT = 16 * 1024;
export const WINDOW = 50 * 1024 * 1024;

/** A binary frame of the log socket: 8 bytes offset, 8 bytes ms, 1 byte stream, the bytes. */
export function parseFrame(buffer) {
  if (buffer.byteLength < HEADER) return null;
  const view = new DataView(buffer);
  const number = (at) => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  return { offset: number(0), time: number(8), stream: view.getUint8(16), bytes: new Uint8Array(buffer, HEADER) };
}

export class LogModel {
  /** `from`: the offset that the first frame shall have. Line numbers are known only from 0. */
  constructor({ from = 0, window = WINDOW, split = SPLIT } = {}) {
    this.lines = [];
    this.next = from;
    this.first = from;
    this.size = 0;
    this.count = 0;
    this.numbered = from === 0;
    this.window = window;
    this.split = split;
    this.lastId = 0;
    this.streams = new Map();
    this.midway = from > 0;
  }

  /** Takes a frame's bytes. "ok", "old" (all seen before) or "gap" (bytes are missing before it). */
  push(offset, time, stream, bytes) {
    if (offset > this.next) return "gap";
    const seen = this.next - offset;
    if (seen >= bytes.length) return bytes.length ? "old" : "ok";
    let fresh = seen ? bytes.subarray(seen) : bytes;
    let at = this.next;
    this.next += fresh.length;
    if (this.midway) {
      // We may have landed inside a character: its rest cannot be shown.
      let skip = 0;
      while (skip < 3 && skip < fresh.length && (fresh[skip] & 0xc0) === 0x80) skip += 1;
      fresh = fresh.subarray(skip);
      at += skip;
      this.midway = false;
    }
    this._take(this._stream(stream), at, time, fresh);
    if (this.size > this.window) this._dropOldest();
    return "ok";
  }

  /** The log has ended: show what the decoders still hold (half a character at the very end). */
  finish() {
    for (const stream of this.streams.values()) {
      const rest = stream.decoder.decode();
      if (rest) this._append(stream, rest, this.next, stream.time);
    }
  }

  /** Index of a line by its number, -1 if it is not loaded. Continued pieces share a number. */
  indexOfNumber(number) {
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle].n < number) low = middle + 1;
      else high = middle;
    }
    return this.lines[low]?.n === number ? low : -1;
  }

  /** Index of the line that holds the byte at `offset`, -1 if it is not loaded. */
  indexOfOffset(offset) {
    if (!this.lines.length || offset < this.first || offset >= this.next) return -1;
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle].at <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  /** Index of a line by its id, -1 if it is gone. Ids are consecutive. */
  indexOfId(id) {
    const at = this.lines.length ? id - this.lines[0].id : -1;
    return at >= 0 && at < this.lines.length ? at : -1;
  }

  /** Puts an earlier piece before this one. It must end where this one begins. */
  prepend(earlier) {
    const head = earlier.lines;
    if (earlier.next !== this.first || !head.length) return 0;
    const start = (this.lines[0]?.id ?? this.lastId + 1) - head.length;
    head.forEach((line, i) => (line.id = start + i));
    // The border may cut a line in two; both halves belong to the same stream.
    const torn = earlier.streams.get(this.lines[0]?.s)?.open;
    let joined = 0;
    if (torn && torn === head.at(-1) && this.lines[0].torn) {
      const half = this.lines.shift();
      torn.text += half.text;
      torn.rev += 1;
      joined = 1;
      for (const line of head) line.id += 1;
      for (const stream of this.streams.values()) if (stream.open === half) stream.open = torn;
    }
    this.lines = head.concat(this.lines);
    this.first = earlier.first;
    this.size += earlier.size;
    // What the reader asked to see must not be dropped at once.
    this.window = Math.max(this.window, this.size * 1.25);
    if (earlier.numbered) this._renumber();
    return head.length - joined;
  }

  _renumber() {
    let n = 0;
    for (const line of this.lines) line.n = line.cont ? n : (n += 1);
    this.count = n;
    this.numbered = true;
  }

  _stream(number) {
    let stream = this.streams.get(number);
    if (!stream) {
      stream = { number, decoder: new TextDecoder("utf-8", { ignoreBOM: true }), open: null, style: PLAIN, time: 0 };
      this.streams.set(number, stream);
    }
    return stream;
  }

  _take(stream, at, time, bytes) {
    const text = stream.decoder.decode(bytes, { stream: true });
    stream.time = time;
    let from = 0;
    let byte = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      const piece = end < 0 ? text.slice(from) : text.slice(from, end);
      if (piece || end >= 0) this._append(stream, piece, at + byte, time);
      if (end < 0) return;
      this._close(stream);
      from = end + 1;
      // The k-th newline of the text is the k-th newline byte: no other character has that byte.
      byte = bytes.indexOf(10, byte) + 1;
    }
  }

  _append(stream, piece, at, time) {
    let line = stream.open;
    if (line && this.lines.length && line.id < this.lines[0].id) line = stream.open = null;
    if (!line) {
      this.count += 1;
      line = this._line(stream, at, time, stream.style, false);
      line.torn = this.lines.length === 1 && this.first > 0;
    }
    if (!piece) return;
    line.rev += 1;
    this.size += piece.length;
    if (line.returned || piece.includes("\r")) this._overwrite(line, piece);
    else line.text += piece;
    while (line.text.length > this.split) line = this._cut(stream, line, at, time);
  }

  /** A lone carriage return starts the line anew: what comes after it replaces what stood there. */
  _overwrite(line, piece) {
    let text = piece;
    if (line.returned) {
      // Only colours or cleared characters follow? They too come after the return.
      line.style = styleAfter(line.text, line.style);
      this.size -= line.text.length;
      line.text = "";
      line.returned = false;
    }
    text = line.text + text;
    let end = text.length;
    while (end > 0 && text.charCodeAt(end - 1) === 13) end -= 1;
    line.returned = end < text.length;
    const start = text.lastIndexOf("\r", end - 1) + 1;
    if (end > 0 && start > 0) line.style = styleAfter(text.slice(0, start), line.style);
    this.size -= text.length - (end - Math.min(start, end));
    line.text = text.slice(Math.min(start, end), end);
  }

  /** Display lines have a limit, or one line of 10 MB would freeze the page. */
  _cut(stream, line, at, time) {
    let end = this.split;
    const code = line.text.charCodeAt(end - 1);
    if (code >= 0xd800 && code <= 0xdbff) end -= 1;
    const rest = line.text.slice(end);
    line.text = line.text.slice(0, end);
    const style = styleAfter(line.text, line.style);
    const more = this._line(stream, at, time, style, true);
    more.text = rest;
    more.returned = line.returned;
    line.returned = false;
    return more;
  }

  _line(stream, at, time, style, cont) {
    this.lastId += 1;
    const line = { id: this.lastId, n: this.count, at, t: time, s: stream.number, text: "", style, cont, rev: 0, returned: false, torn: false };
    stream.open = line;
    this.lines.push(line);
    return line;
  }

  _close(stream) {
    const line = stream.open;
    stream.style = styleAfter(line.text, line.style);
    stream.open = null;
  }

  _dropOldest() {
    let freed = 0;
    let drop = 0;
    const wanted = this.size - this.window * 0.9;
    while (freed < wanted && drop < this.lines.length - 1) {
      freed += this.lines[drop].text.length;
      drop += 1;
    }
    this.lines.splice(0, drop);
    this.size -= freed;
    this.first = this.lines[0].at;
  }
}

// --- colours ------------------------------------------------------------------------------------

export const PLAIN = Object.freeze({});

// SGR: ESC [ numbers m. OSC 8 (links): ESC ] 8 ; parameters ; address, ended by BEL or ESC \.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b\[([0-9;:]{0,128})m|\x1b\]8;[^;\x07\x1b]{0,256};([^\x07\x1b]{0,2048})(?:\x07|\x1b\\)/g;
// Everything that could hide, move or reorder text: shown by name instead.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** The style after `text`, starting in `style`. Most lines have no escape and cost one search. */
export function styleAfter(text, style) {
  const last = text.lastIndexOf("\x1b");
  if (last < 0) return style;
  // Nearly every coloured line ends by switching the colour off.
  if (text.startsWith("[0m", last + 1) || text.startsWith("[m", last + 1)) return PLAIN;
  let now = style;
  ESCAPES.lastIndex = 0;
  for (let match; (match = ESCAPES.exec(text)); ) if (match[1] !== undefined) now = applySgr(now, match[1]);
  return now;
}

/**
 * Cuts a line into spans {text, style, href?, esc?}: `esc` marks a character that was made
 * visible. Joined together the texts are what a reader sees.
 */
export function toSpans(text, style = PLAIN) {
  const spans = [];
  let href;
  let at = 0;
  if (text.includes("\x1b")) {
    ESCAPES.lastIndex = 0;
    for (let match; (match = ESCAPES.exec(text)); ) {
      visible(text.slice(at, match.index), style, href, spans);
      if (match[1] !== undefined) style = applySgr(style, match[1]);
      else href = safeLink(match[2]);
      at = match.index + match[0].length;
    }
  }
  visible(at ? text.slice(at) : text, style, href, spans);
  return spans;
}

/** What a reader sees, as one string: for searching and copying. */
export function plainText(text) {
  if (!text.includes("\x1b")) return text;
  return text.replace(ESCAPES, "");
}

function visible(text, style, href, spans) {
  if (!text) return;
  let at = 0;
  UNSEEN.lastIndex = 0;
  for (let match; (match = UNSEEN.exec(text)); ) {
    if (match.index > at) spans.push({ text: text.slice(at, match.index), style, href });
    spans.push({ text: nameOf(match[0].charCodeAt(0)), style, href, esc: true });
    at = match.index + 1;
  }
  if (at < text.length) spans.push({ text: at ? text.slice(at) : text, style, href });
}

function nameOf(code) {
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  const hex = code.toString(16).toUpperCase();
  return code < 0x100 ? `\\x${hex}` : `\\u${hex.padStart(4, "0")}`;
}

/** Only web addresses may be links; anything else (javascript:, data:, file:) is plain text. */
export function safeLink(address) {
  if (!address || !/^https?:\/\//i.test(address)) return undefined;
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

const FLAGS = { 1: ["b", 1], 2: ["d", 1], 3: ["i", 1], 4: ["u", 1], 7: ["r", 1], 9: ["s", 1], 21: ["u", 1], 23: ["i", 0], 24: ["u", 0], 27: ["r", 0], 29: ["s", 0] };

function applySgr(style, parameters) {
  // `38:2::1:2:3` and `38;2;1;2;3` both occur; the empty colour space of the first is dropped.
  const codes = parameters.replace(/([34]8):2::/g, "$1;2;").replaceAll(":", ";").split(";").map((c) => (c === "" ? 0 : Number(c)));
  const next = { ...style };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) for (const key of Object.keys(next)) delete next[key];
    else if (code === 22) {
      delete next.b;
      delete next.d;
    } else if (FLAGS[code]) {
      const [key, on] = FLAGS[code];
      if (on) next[key] = true;
      else delete next[key];
    } else if (code >= 30 && code <= 37) next.fg = `var(--a${code - 30})`;
    else if (code >= 90 && code <= 97) next.fg = `var(--a${code - 82})`;
    else if (code >= 40 && code <= 47) next.bg = `var(--a${code - 40})`;
    else if (code >= 100 && code <= 107) next.bg = `var(--a${code - 92})`;
    else if (code === 39) delete next.fg;
    else if (code === 49) delete next.bg;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, i + 1);
      if (colour) next[code === 38 ? "fg" : "bg"] = colour;
      i += used;
    }
  }
  return Object.keys(next).length ? Object.freeze(next) : PLAIN;
}

const byte = (n) => Number.isInteger(n) && n >= 0 && n <= 255;

function extended(codes, at) {
  if (codes[at] === 5) return [byte(codes[at + 1]) ? indexed(codes[at + 1]) : null, 2];
  if (codes[at] === 2) {
    const rgb = codes.slice(at + 1, at + 4);
    return [rgb.length === 3 && rgb.every(byte) ? `rgb(${rgb.join(" ")})` : null, 4];
  }
  return [null, 1];
}

function indexed(n) {
  if (n < 16) return `var(--a${n})`;
  if (n > 231) {
    const grey = 8 + (n - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (v) => (v ? 55 + v * 40 : 0);
  return `rgb(${level(Math.floor((n - 16) / 36))} ${level(Math.floor((n - 16) / 6) % 6)} ${level((n - 16) % 6)})`;
}

// --- search -------------------------------------------------------------------------------------

/** Ids of the lines that contain `words` (upper or lower case alike), from index `from` on. */
export function searchLines(lines, words, from = 0, to = lines.length) {
  const wanted = words.toLowerCase();
  const found = [];
  if (!wanted) return found;
  for (let i = from; i < to; i += 1) {
    if (plainText(lines[i].text).toLowerCase().includes(wanted)) found.push(lines[i].id);
  }
  return found;
}

/** Cuts spans further so that each hit of `words` is a span of its own with `hit: true`. */
export function markHits(spans, words) {
  const wanted = words.toLowerCase();
  if (!wanted) return spans;
  const whole = spans.map((span) => span.text).join("").toLowerCase();
  const edges = [];
  for (let at = whole.indexOf(wanted); at >= 0 && edges.length < 2000; at = whole.indexOf(wanted, at + wanted.length)) edges.push(at);
  if (!edges.length) return spans;
  const cut = [];
  let start = 0;
  for (const span of spans) {
    let at = 0;
    for (const edge of edges) {
      const a = Math.max(edge - start, at);
      const b = Math.min(edge + wanted.length - start, span.text.length);
      if (b <= a) continue;
      if (a > at) cut.push({ ...span, text: span.text.slice(at, a) });
      cut.push({ ...span, text: span.text.slice(a, b), hit: true });
      at = b;
    }
    if (at < span.text.length) cut.push({ ...span, text: span.text.slice(at) });
    start += span.text.length;
  }
  return cut;
}

/** "line 12" of a traceback, "script.js:12": [{start, end, line}] in `text`. */
export function sourceLines(text) {
  const found = [];
  const pattern = /\bline (\d{1,7})\b|\b(?:script|main)\.(?:js|mjs|cjs|py|sh):(\d{1,7})\b/g;
  for (let match; found.length < 8 && (match = pattern.exec(text)); ) {
    found.push({ start: match.index, end: match.index + match[0].length, line: Number(match[1] ?? match[2]) });
  }
  return found;
}

/** `#L120`, `#L120-L140`, `#B5000` → {kind, from, to}; null if it is none of these. */
export function parseAnchor(hash) {
  const match = /^#([LB])(\d{1,15})(?:-\1?(\d{1,15}))?$/.exec(hash ?? "");
  if (!match) return null;
  const from = Number(match[2]);
  const to = match[3] ? Number(match[3]) : from;
  return { kind: match[1], from: Math.min(from, to), to: Math.max(from, to) };
}
