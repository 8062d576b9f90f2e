// Run by tests/ui/test_log_model.py with the Node that also builds the client.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LogModel, markHits, parseAnchor, parseFrame, plainText, safeLink, searchLines, sourceLines, toSpans,
} from "../../assets/js/log_model.js";

const bytes = (text) => new TextEncoder().encode(text);
const texts = (model) => model.lines.map((line) => line.text);
const feed = (model, ...parts) => {
  for (const part of parts) {
    const [stream, data] = Array.isArray(part) ? part : [1, part];
    const raw = typeof data === "string" ? bytes(data) : data;
    assert.equal(model.push(model.next, 5, stream, raw), "ok");
  }
  return model;
};
const shown = (text, style) => toSpans(text, style).map((span) => span.text).join("");

test("a frame has offset, time, stream and bytes", () => {
  const buffer = new ArrayBuffer(19);
  const view = new DataView(buffer);
  view.setBigUint64(0, 2n ** 40n + 7n);
  view.setBigUint64(8, 1_790_000_000_123n);
  view.setUint8(16, 2);
  view.setUint8(17, 104);
  view.setUint8(18, 105);
  const frame = parseFrame(buffer);
  assert.equal(frame.offset, 2 ** 40 + 7);
  assert.equal(frame.time, 1_790_000_000_123);
  assert.equal(frame.stream, 2);
  assert.deepEqual([...frame.bytes], [104, 105]);
  assert.equal(parseFrame(new ArrayBuffer(16)), null);
});

test("lines, with and without a final newline, empty ones kept", () => {
  const model = feed(new LogModel(), "a\n\nb");
  assert.deepEqual(texts(model), ["a", "", "b"]);
  assert.deepEqual(model.lines.map((line) => line.n), [1, 2, 3]);
  feed(model, "c\n");
  assert.deepEqual(texts(model), ["a", "", "bc"]);
  assert.deepEqual(model.lines.map((line) => line.at), [0, 2, 3]);
});

test("a byte seen twice is trimmed, a byte missing is refused", () => {
  const model = feed(new LogModel(), "hello ");
  assert.equal(model.push(0, 5, 1, bytes("hello ")), "old");
  assert.equal(model.push(3, 5, 1, bytes("lo wor")), "ok");
  assert.equal(model.push(99, 5, 1, bytes("x")), "gap");
  assert.equal(model.next, 9);
  assert.deepEqual(texts(model), ["hello wor"]);
});

test("a character cut between frames arrives whole, in each stream by itself", () => {
  const euro = bytes("€");
  const model = feed(new LogModel(), [1, euro.subarray(0, 1)], [2, euro.subarray(0, 2)], [1, euro.subarray(1)], [2, euro.subarray(2)]);
  assert.deepEqual(texts(model), ["€", "€"]);
  assert.deepEqual(model.lines.map((line) => line.s), [1, 2]);
});

test("binary bytes become replacement characters and no line is lost", () => {
  const raw = Uint8Array.from({ length: 512 }, (_, i) => i % 256);
  const model = feed(new LogModel(), raw);
  assert.equal(model.next, 512);
  assert.equal(model.lines.length, 3);
});

test("half a character at the very end is shown when the log has ended", () => {
  const model = feed(new LogModel(), Uint8Array.of(97, 0xe2, 0x82));
  model.finish();
  assert.deepEqual(texts(model), ["a\ufffd"]);
});

test("streams interleave without breaking each other's lines", () => {
  const model = feed(new LogModel(), [1, "out "], [2, "err\n"], [1, "put\n"]);
  assert.deepEqual(model.lines.map((line) => [line.s, line.text]), [[1, "out put"], [2, "err"]]);
});

test("carriage returns: the last segment wins, CRLF is a line end", () => {
  assert.deepEqual(texts(feed(new LogModel(), "a\r\nb\r\n")), ["a", "b"]);
  assert.deepEqual(texts(feed(new LogModel(), "10%\r20%\r30%")), ["30%"]);
  assert.deepEqual(texts(feed(new LogModel(), "10%\r", "20%\r")), ["20%"]);
  assert.deepEqual(texts(feed(new LogModel(), "10%\r", "\ndone")), ["10%", "done"]);
  assert.deepEqual(texts(feed(new LogModel(), "\r10%", "\r20%", "\rx\n")), ["x"]);
});

test("a progress bar that never ends its line costs no memory", () => {
  const model = new LogModel();
  for (let i = 0; i < 5000; i += 1) feed(model, `\r${"#".repeat(50)} ${i}`);
  assert.equal(model.lines.length, 1);
  assert.ok(model.size < 200, String(model.size));
  assert.equal(model.lines[0].text, `${"#".repeat(50)} 4999`);
});

test("a very long line is cut for display, never inside a pair, and keeps one number", () => {
  const text = "é😀".repeat(40_000);
  const model = feed(new LogModel(), text, "\nnext\n");
  assert.ok(model.lines.every((line) => line.text.length <= 16 * 1024));
  assert.equal(model.lines.slice(0, -1).map((line) => line.text).join(""), text);
  assert.deepEqual([...new Set(model.lines.slice(0, -1).map((line) => line.n))], [1]);
  assert.equal(model.lines.at(-1).n, 2);
  assert.ok(!model.lines.some((line) => /[\ud800-\udbff]$/.test(line.text)));
});

test("ten megabytes in one line take less than a second", () => {
  const started = performance.now();
  const part = bytes("x".repeat(65_536));
  const model = new LogModel();
  for (let i = 0; i < 160; i += 1) feed(model, part);
  assert.equal(model.lines.length, 640);
  assert.ok(performance.now() - started < 1000);
});

test("memory is bounded; numbers and offsets stay true", () => {
  const model = new LogModel({ window: 10_000 });
  for (let i = 1; i <= 3000; i += 1) feed(model, `line ${i}\n`);
  assert.ok(model.size <= 10_000);
  assert.equal(model.lines.at(-1).text, "line 3000");
  assert.equal(model.lines.at(-1).n, 3000);
  assert.equal(model.lines[0].text, `line ${model.lines[0].n}`);
  assert.equal(model.first, model.lines[0].at);
  assert.equal(model.indexOfNumber(3000), model.lines.length - 1);
  assert.equal(model.indexOfNumber(1), -1);
  assert.equal(model.indexOfOffset(model.lines[5].at + 2), 5);
});

test("an earlier piece joins seamlessly, also in the middle of a line", () => {
  const all = Array.from({ length: 50 }, (_, i) => `line ${i + 1}`).join("\n");
  const raw = bytes(all);
  for (const cut of [0, 1, 7, 100, 233]) {
    const model = new LogModel({ from: cut, line: all.slice(0, cut).split("\n").length });
    model.push(cut, 5, 1, raw.subarray(cut));
    if (!cut) continue;
    const earlier = new LogModel();
    earlier.push(0, 5, 1, raw.subarray(0, cut));
    model.prepend(earlier);
    assert.equal(texts(model).join("\n"), all, `cut at ${cut}`);
    assert.equal(model.first, 0);
    assert.equal(model.lines.at(-1).n, 50);
    const ids = model.lines.map((line) => line.id);
    assert.ok(ids.every((id, i) => id === ids[0] + i), "ids are consecutive");
  }
});

test("landing inside a character shows no rubbish", () => {
  const raw = bytes("ab€cd");
  const model = new LogModel({ from: 3 });
  model.push(3, 5, 1, raw.subarray(3));
  assert.deepEqual(texts(model), ["cd"]);
});

test("numbers are those of the file, wherever reading begins", () => {
  const raw = bytes(Array.from({ length: 50 }, (_, i) => `line ${i + 1}`).join("\n") + "\n");
  const at = new TextDecoder().decode(raw).indexOf("line 30");
  const model = new LogModel({ from: at, line: 30 });
  model.push(at, 5, 1, raw.subarray(at));
  assert.equal(model.lines[0].n, 30);
  assert.equal(model.count, 50);
  const piece = new LogModel({ from: 7, line: 2 });
  piece.push(7, 5, 1, raw.subarray(7, at));
  assert.equal(model.prepend(piece), 28);
  assert.deepEqual([model.lines[0].n, model.first, model.indexOfNumber(30)], [2, 7, 28]);
  const mixed = feed(new LogModel(), [1, "out "], [2, "err\n"], [1, "put\n"], [2, "third\n"]);
  assert.deepEqual(mixed.lines.map((line) => line.n), [1, 1, 3]);
  assert.equal(mixed.indexOfNumber(2), 1);
  assert.equal(mixed.indexOfNumber(4), -1);
});

test("two streams cut in pieces at any byte, read backwards, are the whole", () => {
  const parts = [[1, "än open "], [2, "€rr 1\nerr €"], [1, "line 😀"], [2, " two\n"], [1, "\n"], [2, "x"], [1, "last ü"]];
  const frames = [];
  let length = 0;
  for (const [stream, text] of parts) {
    frames.push({ at: length, stream, data: bytes(text) });
    length += bytes(text).length;
  }
  const between = (model, from, to) => {
    for (const { at, stream, data } of frames) {
      const part = data.subarray(Math.max(0, from - at), Math.max(0, to - at));
      if (part.length) model.push(Math.max(at, from), 5, stream, part);
    }
    return model;
  };
  const feedsBefore = (end) => {
    const whole = frames.flatMap(({ data }) => [...data]);
    return whole.slice(0, end).filter((byte) => byte === 10).length;
  };
  const whole = between(new LogModel(), 0, length);
  const look = (model) => model.lines.map((line) => [line.n, line.s, line.text]);
  for (let a = 1; a < length; a += 1) {
    for (let b = a + 1; b < length; b += 1) {
      const model = between(new LogModel({ from: b, line: feedsBefore(b) + 1 }), b, length);
      for (const [from, to] of [[a, b], [0, a]]) {
        const piece = between(new LogModel({ from, line: feedsBefore(from) + 1 }), from, to);
        model.prepend(piece);
      }
      assert.equal(model.first, 0);
      assert.deepEqual(look(model), look(whole), `cut at ${a} and ${b}`);
      const ids = model.lines.map((line) => line.id);
      assert.ok(ids.every((id, i) => id === ids[0] + i), "ids are consecutive");
    }
  }
});

test("after a jump the window begins anew, and no id comes twice", () => {
  const model = feed(new LogModel(), "a\nb\n");
  const last = model.lines.at(-1).id;
  model.reset(1000, 77);
  model.push(1000, 5, 1, bytes("x\n"));
  assert.deepEqual(model.lines.map((line) => [line.n, line.id]), [[77, last + 1]]);
  assert.deepEqual([model.first, model.next, model.count], [1000, 1002, 77]);
});

test("colours: 16, 256, true colour, both separators, reset, carried to the next line", () => {
  const style = (text) => toSpans(text).at(-1).style;
  assert.equal(style("\x1b[31mx").fg, "var(--a1)");
  assert.equal(style("\x1b[1;91mx").fg, "var(--a9)");
  assert.equal(style("\x1b[1mx").b, true);
  assert.equal(style("\x1b[38;5;196mx").fg, "rgb(255 0 0)");
  assert.equal(style("\x1b[38;5;244mx").fg, "rgb(128 128 128)");
  assert.equal(style("\x1b[48;2;1;2;3mx").bg, "rgb(1 2 3)");
  assert.equal(style("\x1b[38:2::1:2:3mx").fg, "rgb(1 2 3)");
  assert.deepEqual(style("\x1b[31;1mx\x1b[my"), {});
  assert.deepEqual(style("\x1b[38;2;999;0;0mx"), {});
  assert.deepEqual(style("\x1b[99999999999mx"), {});
  const model = feed(new LogModel(), "\x1b[32mgreen\nstill\x1b[0m\nplain\n");
  assert.deepEqual(model.lines.map((line) => line.style.fg), [undefined, "var(--a2)", undefined]);
});

test("an escape cut between frames still colours", () => {
  const model = feed(new LogModel(), "\x1b[3", "1mred");
  assert.equal(toSpans(model.lines[0].text).at(-1).style.fg, "var(--a1)");
});

test("whatever is not a colour is shown, not obeyed", () => {
  for (const hostile of [
    "\x1b[2J", "\x1b[1A", "\x1b[8m", "\x1b]0;title\x07", "\x1b]52;c;ZXZpbA==\x07", "\x1bP1$q\x1b\\", "\x9b31m", "\x1b[?25l", "\x1bc", "\x1b[31",
  ]) {
    const spans = toSpans(`${hostile}after`);
    const text = spans.map((span) => span.text).join("");
    assert.ok(text.endsWith("after"), hostile);
    // eslint-disable-next-line no-control-regex
    assert.ok(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text), JSON.stringify(text));
    assert.deepEqual(spans.at(-1).style, {});
  }
  assert.equal(shown("\x1b[2Jx"), "␛[2Jx");
  assert.equal(shown("a\u202eb\u200bc"), "a\\u202Eb\\u200Bc");
  assert.equal(shown("\x9b"), "\\x9B");
});

test("links: web addresses only", () => {
  const href = (address) => toSpans(`\x1b]8;;${address}\x1b\\text\x1b]8;;\x1b\\ rest`).map((span) => span.href);
  assert.deepEqual(href("https://example.org/a?b=c"), ["https://example.org/a?b=c", undefined]);
  for (const bad of [
    "javascript:alert(1)", " javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>1</script>", "file:///etc/passwd",
    "vbscript:x", "//evil.example", "https:", "http://", "blob:https://x/1",
  ]) assert.deepEqual(href(bad), [undefined, undefined], bad);
  assert.equal(safeLink("java\nscript:alert(1)"), undefined);
  assert.equal(safeLink("https://a.example/\"><img src=x>").includes("<"), false);
});

test("markup in the output stays text", () => {
  const text = '<script>alert(1)</script>"><img src=x onerror=alert(1)>';
  assert.deepEqual(toSpans(text), [{ text, style: {}, href: undefined }]);
});

test("hostile input is not slow", () => {
  const started = performance.now();
  for (const unit of ["\x1b[", "\x1b]8;;", "\x1b[1;", "\x1b]8;;http://", "\x1b[38;2;1m", "\x00", "\u202e", ";;;;", "line 1 "]) {
    const text = unit.repeat(Math.ceil(16_384 / unit.length));
    toSpans(text);
    plainText(text);
    sourceLines(text);
    markHits(toSpans(text), ";");
  }
  const elapsed = performance.now() - started;
  assert.ok(elapsed < 1500, `${elapsed} ms`);
});

test("search sees the text without its colours, in any case", () => {
  const model = feed(new LogModel(), "one\n\x1b[31mER\x1b[0mror here\nthree\n");
  assert.deepEqual(searchLines(model.lines, "error"), [model.lines[1].id]);
  assert.deepEqual(searchLines(model.lines, ""), []);
  const marked = markHits(toSpans(model.lines[1].text), "error");
  assert.deepEqual(marked.filter((span) => span.hit).map((span) => span.text), ["ER", "ror"]);
  assert.equal(marked.map((span) => span.text).join(""), "Error here".replace("Er", "ER"));
});

test("source lines and anchors", () => {
  assert.deepEqual(sourceLines('  File "/job/script.py", line 12, in main').map((s) => s.line), [12]);
  assert.deepEqual(sourceLines("at /job/script.js:7:3").map((s) => s.line), [7]);
  assert.deepEqual(parseAnchor("#L120"), { kind: "L", from: 120, to: 120 });
  assert.deepEqual(parseAnchor("#L140-L120"), { kind: "L", from: 120, to: 140 });
  assert.deepEqual(parseAnchor("#B5000"), { kind: "B", from: 5000, to: 5000 });
  for (const bad of ["", "#", "#L", "#Lx", "#L1-B2", "#L1e9", "#content"]) assert.equal(parseAnchor(bad), null);
});

test("100,000 coloured lines are taken in within 250 ms", () => {
  const chunk = bytes(Array.from({ length: 1000 }, (_, i) => `\x1b[32m2026-11-23\x1b[0m worker ${i} did something useful`).join("\n") + "\n");
  const started = performance.now();
  const model = new LogModel();
  for (let i = 0; i < 100; i += 1) feed(model, chunk);
  const elapsed = performance.now() - started;
  assert.equal(model.lines.length, 100_000);
  assert.ok(elapsed < 250 * Number(process.env.SLOW ?? 4), `${elapsed} ms`);
  console.log(`# 100,000 lines: ${elapsed.toFixed(0)} ms`);
});
