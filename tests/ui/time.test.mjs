// Run by tests/ui/test_log_model.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { absolute, clock, duration, fullTime, nextTick, pointInTime, relative } from "../../assets/js/time.js";

const now = Date.parse("2026-11-23T14:00:00Z");
const in_ = (text) => now + { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[text.at(-1)] * Number.parseFloat(text);

test("durations", () => {
  const words = (seconds, whole) => duration(seconds, whole);
  assert.deepEqual([0, 0.004, 0.42, 4.1, 9.96, 12.4, 100, 3661, 4320, 90_000].map((s) => words(s)), [
    "0 ms", "4 ms", "0.4 s", "4.1 s", "10 s", "12 s", "1 m 40 s", "1 h 01 m", "1 h 12 m", "1 d 1 h",
  ]);
  assert.equal(words(1.99, true), "1 s");
  assert.equal(words(59.99, true), "59 s");
  assert.equal(words(Number.NaN), "");
  assert.equal(words(-1), "");
});

test("relative", () => {
  assert.equal(relative(in_("12m"), now), "in 12 min");
  assert.equal(relative(in_("11.8h"), now), "in 11 h 48 min");
  assert.equal(relative(in_("-3h"), now), "3 h ago");
  assert.equal(relative(in_("9.2s"), now), "in 10 s");
  assert.equal(relative(in_("-1.5d"), now), "1 day ago");
  assert.equal(relative(in_("-40d"), now, "UTC"), "14 Oct 14:00");
  assert.equal(relative(now, now), "now");
});

test("absolute, in a zone, with the year only where it differs", () => {
  assert.equal(absolute(in_("2h"), now, "UTC"), "today 16:00");
  assert.equal(absolute(in_("12h"), now, "UTC"), "tomorrow 02:00");
  assert.equal(absolute(in_("-1d"), now, "UTC"), "yesterday 14:00");
  assert.equal(absolute(in_("10h"), now, "Europe/Berlin"), "tomorrow 01:00");
  assert.equal(absolute(in_("5d"), now, "Asia/Kolkata"), "28 Nov 19:30");
  assert.equal(absolute(in_("-400d"), now, "UTC"), "19 Oct 2025 14:00");
});

test("a zone that this browser does not know does not break the page", () => {
  assert.equal(absolute(in_("2h"), now, "Mars/Olympus"), "today 16:00");
});

test("the clock has milliseconds, the title everything", () => {
  assert.equal(clock(now + 80, "UTC", true), "14:00:00.080");
  assert.match(fullTime(now, "Europe/Berlin"), /Mon, 23 Nov 2026,? (at )?15:00:00 (CET|GMT\+1) \(Europe\/Berlin\)/);
  assert.equal(pointInTime(in_("12h"), now, "both", "UTC"), "tomorrow 02:00 UTC, in 12 h");
});

test("words are renewed when they change, not every second", () => {
  assert.ok(nextTick(in_("30s"), now) - now <= 1005);
  assert.ok(nextTick(in_("3h"), now) - now > 50_000);
  assert.ok(nextTick(in_("3d"), now) - now > 3_000_000);
});
