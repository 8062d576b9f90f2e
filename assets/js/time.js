// Words for durations and points in time. Pure functions; the browser's Intl does the zones.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** 0.004 → "4 ms", 0.42 → "0.4 s", 100 → "1 m 40 s", 4320 → "1 h 12 m". `whole`: no fractions. */
export function duration(seconds, whole = false) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (!whole && seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (!whole && seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const total = whole ? Math.floor(seconds) : Math.round(seconds);
  if (total < 60) return `${total} s`;
  const pad = (n) => String(n).padStart(2, "0");
  if (total < 3600) return `${Math.floor(total / 60)} m ${pad(total % 60)} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function gap(ms) {
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) {
    const minutes = Math.floor((ms % HOUR) / MINUTE);
    return `${Math.floor(ms / HOUR)} h${minutes && ms < 12 * HOUR ? ` ${minutes} min` : ""}`;
  }
  const days = Math.floor(ms / DAY);
  return days === 1 ? "1 day" : `${days} days`;
}

/** "in 12 min", "3 h ago"; beyond four weeks the date says more. */
export function relative(at, now, zone = "") {
  const ms = at - now;
  if (Math.abs(ms) > 28 * DAY) return absolute(at, now, zone);
  if (Math.abs(ms) < SECOND) return "now";
  // Counting down rounds up, so that "in 1 s" is followed by the thing itself.
  return ms > 0 ? `in ${gap(ms < MINUTE ? ms + 999 : ms)}` : `${gap(-ms)} ago`;
}

const formats = new Map();

function format(options, zone) {
  const key = JSON.stringify(options) + zone;
  let made = formats.get(key);
  if (!made) {
    try {
      made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone || undefined });
    } catch {
      made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
    }
    formats.set(key, made);
  }
  return made;
}

const dayOf = (at, zone) => format({ year: "numeric", month: "2-digit", day: "2-digit" }, zone).format(at);

/** "today 14:02", "tomorrow 02:00", "23 Nov 14:02", "23 Nov 2024 14:02". */
export function absolute(at, now, zone = "") {
  const time = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, zone).format(at);
  const day = dayOf(at, zone);
  if (day === dayOf(now, zone)) return `today ${time}`;
  if (day === dayOf(now + DAY, zone)) return `tomorrow ${time}`;
  if (day === dayOf(now - DAY, zone)) return `yesterday ${time}`;
  const year = (moment) => format({ year: "numeric" }, zone).format(moment);
  const options = { day: "numeric", month: "short" };
  if (year(at) !== year(now)) options.year = "numeric";
  return `${format(options, zone).format(at)} ${time}`;
}

export function clock(at, zone = "", millis = false) {
  const text = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }, zone).format(at);
  return millis ? `${text}.${String(((at % 1000) + 1000) % 1000).padStart(3, "0")}` : text;
}

/** Everything: "Mon, 23 Nov 2026, 14:02:11 GMT+1 (Europe/Berlin)". */
export function fullTime(at, zone = "") {
  const options = {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
  };
  const made = format(options, zone);
  return `${made.format(at)} (${zone || made.resolvedOptions().timeZone})`;
}

export function pointInTime(at, now, show, zone = "") {
  const named = zone ? ` ${zone}` : "";
  if (show === "absolute") return absolute(at, now, zone) + named;
  if (show === "clock") return clock(at, zone);
  if (show === "both") return `${absolute(at, now, zone)}${named}, ${relative(at, now, zone)}`;
  return relative(at, now, zone);
}

/** When the words for `at` change next. */
export function nextTick(at, now) {
  const ms = Math.abs(at - now);
  const unit = ms < MINUTE + SECOND ? SECOND : ms < DAY ? MINUTE : HOUR;
  const rest = (((at - now) % unit) + unit) % unit;
  return now + (rest || unit) + 5;
}
