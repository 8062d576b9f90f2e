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
const NONE = new Uint8Array(0);
const GONE = Object.freeze({ id: -1 });

function joinedBytes(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** A binary frame of the log socket: 8 bytes offset, 8 bytes ms, 1 byte stream, the bytes. */
export function parseFrame(buffer) {
  if (buffer.byteLength < HEADER) return null;
  const view = new DataView(buffer);
  const number = (at) => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  return { offset: number(0), time: number(8), stream: view.getUint8(16), bytes: new Uint8Array(buffer, HEADER) };
}

export class LogModel {
  /**
   * A window onto the log: the bytes [first, next). `from`: the offset that the first frame shall
   * have; `line`: the number of the line it is in. A line's number is that of the file, 1 + the
   * line feeds before its first byte, so it is the same wherever reading began.
   */
  constructor({ from = 0, line = 1, window = WINDOW, split = SPLIT } = {}) {
    this.window = window;
    this.split = split;
    this.lastId = 0;
    this.era = 0;
    this.reset(from, line);
  }

  /** Forget everything and go on at `from`. Ids are never used again. */
  reset(from, line) {
    this.lines = [];
    this.next = from;
    this.first = from;
    this.size = 0;
    this.feeds = line - 1;
    this.ended = true;
    this.streams = new Map();
    this.era += 1;
  }

  /** Lines of the log up to `next`, an unfinished one included. */
  get count() {
    return this.feeds + (this.ended ? 0 : 1);
  }

  /** Takes a frame's bytes. "ok", "old" (all seen before) or "gap" (bytes are missing before it). */
  push(offset, time, stream, bytes) {
    if (offset > this.next) return "gap";
    const seen = this.next - offset;
    if (seen >= bytes.length) return bytes.length ? "old" : "ok";
    let fresh = seen ? bytes.subarray(seen) : bytes;
    let at = this.next;
    this.next += fresh.length;
    this.ended = fresh[fresh.length - 1] === 10;
    const known = this.streams.has(stream);
    const own = this._stream(stream);
    if (!known && this.first > 0) {
      // We may have landed inside a character: its rest waits for the earlier piece.
      let skip = 0;
      while (skip < 3 && skip < fresh.length && (fresh[skip] & 0xc0) === 0x80) skip += 1;
      own.lead = fresh.slice(0, skip);
      fresh = fresh.subarray(skip);
      at += skip;
    }
    this._take(own, at, time, fresh);
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

  /**
   * Index of a line by its number, -1 if it is not loaded. Continued pieces share a number; a line
   * whose bytes all continue one of the other stream is found there.
   */
  indexOfNumber(number) {
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle].n < number) low = middle + 1;
      else high = middle;
    }
    if (low === this.lines.length) return -1;
    if (this.lines[low].n === number) return low;
    return low - 1;
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
    if (earlier.next !== this.first) return 0;
    let joined = 0;
    for (const [number, before] of earlier.streams) {
      const own = this.streams.get(number);
      if (!own) this.streams.set(number, before);
      else if (this._join(earlier, before, own)) joined += 1;
    }
    this.lines = earlier.lines.concat(this.lines);
    this.lines.forEach((line, i) => (line.id = this.lastId - this.lines.length + 1 + i));
    this.first = earlier.first;
    this.size += earlier.size;
    // What the reader asked to see must not be dropped at once.
    this.window = Math.max(this.window, this.size * 1.25);
    return earlier.lines.length - joined;
  }

  /** The border may cut a line of each stream in two, and a character in it. */
  _join(earlier, before, own) {
    if (!before.fed) {
      own.lead = joinedBytes(before.lead, own.lead); // not even a whole character
      return false;
    }
    const half = own.head;
    const rest = before.decoder.decode(own.lead);
    const torn = before.open;
    if (!half) {
      // This stream has shown nothing here yet: it goes on in the earlier piece's line.
      if (rest) earlier._append(before, rest, earlier.next, before.time);
      own.lead = before.lead;
      own.head = before.head;
      own.open = before.open;
      own.style = before.style;
      return false;
    }
    own.lead = before.lead;
    own.head = before.head ?? half;
    if (this.indexOfId(half.id) < 0) return false;
    const text = half.wiped || !rest ? half.text : rest + half.text;
    if (!torn) {
      half.text = text;
      half.rev += 1;
      return false;
    }
    torn.text = half.wiped || (torn.returned && text) ? text : torn.text + text;
    torn.returned = half.returned;
    torn.rev += 1;
    this.lines.splice(this.indexOfId(half.id), 1);
    this.lines.forEach((line, i) => (line.id = this.lastId - this.lines.length + 1 + i));
    if (own.open === half) own.open = torn;
    return true;
  }

  _stream(number) {
    let stream = this.streams.get(number);
    if (!stream) {
      stream = { number, decoder: new TextDecoder("utf-8", { ignoreBOM: true }), open: null, head: null, lead: NONE, fed: false, style: PLAIN, time: 0 };
      this.streams.set(number, stream);
    }
    return stream;
  }

  _take(stream, at, time, bytes) {
    if (!bytes.length) return;
    const text = stream.decoder.decode(bytes, { stream: true });
    stream.fed = true;
    stream.time = time;
    let from = 0;
    let byte = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      const piece = end < 0 ? text.slice(from) : text.slice(from, end);
      if (piece || end >= 0) this._append(stream, piece, at + byte, time);
      if (end < 0) return;
      this._close(stream);
      this.feeds += 1;
      from = end + 1;
      // The k-th newline of the text is the k-th newline byte: no other character has that byte.
      byte = bytes.indexOf(10, byte) + 1;
    }
  }

  _append(stream, piece, at, time) {
    let line = stream.open;
    if (line && this.lines.length && line.id < this.lines[0].id) line = stream.open = null;
    if (!line) {
      line = this._line(stream, at, time, stream.style, false);
      stream.head ??= line;
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
      line.wiped = true;
    }
    text = line.text + text;
    let end = text.length;
    while (end > 0 && text.charCodeAt(end - 1) === 13) end -= 1;
    line.returned = end < text.length;
    const start = text.lastIndexOf("\r", end - 1) + 1;
    if (start > 0) line.wiped = true;
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
    more.n = line.n;
    more.text = rest;
    more.returned = line.returned;
    line.returned = false;
    return more;
  }

  _line(stream, at, time, style, cont) {
    this.lastId += 1;
    const line = { id: this.lastId, n: this.feeds + 1, at, t: time, s: stream.number, text: "", style, cont, rev: 0, returned: false, wiped: false };
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
    // Only a line that begins a line says exactly where the window begins.
    const whole = this.lines.findIndex((line, i) => i >= drop && !line.cont);
    for (; drop < whole; drop += 1) freed += this.lines[drop].text.length;
    this.lines.splice(0, drop);
    this.size -= freed;
    this.first = this.lines[0].at;
    for (const stream of this.streams.values()) Object.assign(stream, { head: GONE, lead: NONE });
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
