// The log of a run. Bytes come over their own socket into a LogModel (log_model.js); React only
// draws the lines in view. Python side: cronium_app/ui/components/log.py.
import { memo, useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { Link } from "react-router";
import { Virtualizer } from "virtua";
import { LogModel, WINDOW, markHits, parseAnchor, parseFrame, searchLines, sourceLines, toSpans } from "./log_model.js";
import { clock, fullTime } from "./time.js";
import { copyText, useSlash } from "./ui.jsx";

const ROW = 20;
const WHOLE = 12 * 1024 * 1024; // a log up to this size is loaded whole
const PIECE = 2 * 1024 * 1024;
const BEFORE = 200; // lines above the one that was jumped to
const HURRY = 32 * 1024;
const NEAR = 600; // pixels from the edge where the next piece is loaded
const number = new Intl.NumberFormat("en");
const remembered = (key, fallback) => (localStorage.getItem(`cronium.log.${key}`) ?? fallback) === "yes";

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_500) return `${(bytes / 1000).toFixed(bytes < 9_950 ? 1 : 0)} kB`;
  return `${(bytes / 1e6).toFixed(bytes < 9.95e6 ? 1 : 0)} MB`;
}

const address = (path, query) => {
  const url = new URL(path, location.href);
  for (const [key, value] of Object.entries(query)) if (value || value === 0) url.searchParams.set(key, value);
  return url;
};

// --- the connection -----------------------------------------------------------------------------

/**
 * Follows a log into `model` and says what changes: state is "connecting", "open", "lost" (tries
 * again), "ended" or "refused". `begin` is where to start, as the socket's address says it; a lost
 * connection resumes at the first byte that is missing (`near`: a byte to begin close to). With a `limit` in it, "stopped" comes when
 * the piece is there. "skipped": the job is faster than we can be served; we go on at its end.
 */
function follow(model, socketPath, attempt, begin, tell) {
  let socket;
  let timer;
  let delay = 250;
  let over = false;
  let begun = begin.from !== undefined;
  let whole = false; // a small log is sent as a whole, without limit

  const open = () => {
    const { near, ...rest } = begin;
    const url = address(socketPath, begun ? { from: model.next, limit: whole ? undefined : begin.limit, attempt } : { ...rest, from: near, attempt });
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => tell("open");
    socket.onmessage = ({ data }) => {
      if (over) return undefined;
      if (typeof data === "string") return said(data);
      const frame = parseFrame(data);
      if (!frame) return undefined;
      delay = 250;
      if (model.push(frame.offset, frame.time, frame.stream, frame.bytes) === "gap") socket.close();
      else tell("data");
      return undefined;
    };
    socket.onclose = ({ code }) => {
      if (over) return;
      // The server says who may read: asking again changes nothing.
      if (code === 4401 || code === 4403 || code === 4404 || code === 1008) {
        over = true;
        tell("refused");
        return;
      }
      tell("lost");
      timer = setTimeout(open, delay);
      delay = Math.min(delay * 2, 5000);
    };
  };
  const said = (text) => {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { start, skipped, stop, end } = message;
    if (start && !begun) {
      begun = true;
      whole = start.length <= begin.all_below;
      model.reset(start.offset, start.line);
      tell("started", start);
    } else if (skipped) tell("skipped", skipped);
    else if (stop) {
      over = true;
      socket.close();
      tell("stopped", stop);
    } else if (end) {
      // An end that speaks of more bytes than we have came too early: fetch the rest.
      if (typeof end.length === "number" && end.length > model.next) {
        socket.close();
        return;
      }
      over = true;
      model.finish();
      tell("ended", JSON.stringify(end));
      socket.close();
    }
  };
  const wake = () => {
    if (over || document.hidden || !timer || socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(timer);
    delay = 250;
    open();
  };
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", wake);
  open();
  return () => {
    over = true;
    clearTimeout(timer);
    removeEventListener("online", wake);
    document.removeEventListener("visibilitychange", wake);
    socket.close();
  };
}

/** The bytes before `to`, about a piece of them, as a model of their own; null if that failed. */
function fetchEarlier(socketPath, attempt, to) {
  return new Promise((resolve) => {
    const from = Math.max(0, to - PIECE);
    const piece = new LogModel({ window: Infinity });
    const url = address(socketPath, { from, align: 1, limit: to - from, attempt });
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    const done = (value) => {
      socket.onclose = null;
      socket.close();
      resolve(value);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const { start } = JSON.parse(data);
        if (start) piece.reset(start.offset, start.line);
        return start ? undefined : done(null);
      }
      const frame = parseFrame(data);
      if (!frame) return undefined;
      const bytes = frame.bytes.subarray(0, Math.max(0, to - frame.offset));
      if (piece.push(frame.offset, frame.time, frame.stream, bytes) === "gap") return done(null);
      return piece.next >= to ? done(piece) : undefined;
    };
    socket.onclose = () => done(null);
  });
}

// --- one line -----------------------------------------------------------------------------------

function lookOf({ b, d, i, u, s, r, fg, bg }) {
  const names = [b && "ansi-b", d && "ansi-d", i && "ansi-i", u && "ansi-u", s && "ansi-s"].filter(Boolean).join(" ");
  const front = r ? (bg ?? "var(--code)") : fg;
  const back = r ? (fg ?? "var(--ink)") : bg;
  const style = front || back ? { color: front, backgroundColor: back } : undefined;
  return { className: names || undefined, style };
}

/** Spans with the "line 12"s of a traceback as spans of their own. */
function withSources(spans) {
  const whole = spans.map((span) => span.text).join("");
  const marks = sourceLines(whole);
  if (!marks.length) return spans;
  const cut = [];
  let start = 0;
  for (const span of spans) {
    let at = 0;
    for (const mark of marks) {
      const a = Math.max(mark.start - start, at);
      const b = Math.min(mark.end - start, span.text.length);
      if (b <= a || span.href) continue;
      if (a > at) cut.push({ ...span, text: span.text.slice(at, a) });
      cut.push({ ...span, text: span.text.slice(a, b), line: mark.line });
      at = b;
    }
    if (at < span.text.length) cut.push({ ...span, text: span.text.slice(at) });
    start += span.text.length;
  }
  return cut;
}

function Part({ span, current, scriptHref }) {
  const look = lookOf(span.style);
  let inside = span.text;
  if (span.hit) inside = <mark data-now={current ? "yes" : undefined}>{inside}</mark>;
  if (span.href) return <a {...look} href={span.href} target="_blank" rel="noopener noreferrer nofollow">{inside}</a>;
  if (span.line) return <Link {...look} to={`${scriptHref}#L${span.line}`}>{inside}</Link>;
  if (span.esc) return <span className="log-esc">{inside}</span>;
  return look.className || look.style ? <span {...look}>{inside}</span> : inside;
}

const Line = memo(function Line({ line, rev, words, current, picked, times, scriptHref }) {
  void rev; // a line that is still being written is the same object with another revision
  let spans = toSpans(line.text, line.style);
  if (scriptHref) spans = withSources(spans);
  if (words) spans = markHits(spans, words);
  return (
    <div className="log-line" data-stream={line.s} data-picked={picked ? "yes" : undefined} data-continued={line.cont ? "yes" : undefined}
      data-hit={current ? "yes" : undefined} data-id={line.id}>
      <span className="log-number" data-n={line.cont ? "" : line.n} />
      {times ? <span className="log-time" data-t={clock(line.t, "", true)} title={fullTime(line.t)} /> : null}
      <span className="log-text">
        {spans.length ? spans.map((span, i) => <Part key={i} span={span} current={current} scriptHref={scriptHref} />) : "\u200b"}
      </span>
    </div>
  );
});

// --- the pane -----------------------------------------------------------------------------------

function useChoice(key, fallback) {
  const [on, setOn] = useState(() => remembered(key, fallback));
  const flip = () => {
    localStorage.setItem(`cronium.log.${key}`, on ? "no" : "yes");
    setOn(!on);
  };
  return [on, flip];
}

/**
 * The log as a window that moves: at its end and live, or "away" from it after a jump, until the
 * reader comes back. `move` holds the ways to go; `wanted` is the line to be brought into view.
 */
function useLog(socket, attempt, onEnd, stick, anchored) {
  const [, redraw] = useReducer((n) => n + 1, 0);
  const [state, setState] = useState("connecting");
  const model = useRef(null);
  const move = useRef(null);
  const wanted = useRef(null);
  const skipped = useRef(0);
  const ended = useRef(onEnd);
  ended.current = onEnd;
  if (!model.current) model.current = new LogModel();

  useEffect(() => {
    let frame;
    let stop = () => {};
    let busy = false;
    let away = false;
    let partial = false; // away, or on the way there
    // A line that is printed now is drawn in the next frame. While a long log streams in, drawing
    // every frame would take most of the time, so then it is a few times a second.
    let timer;
    let drawn = 0;
    const own = (model.current = new LogModel());
    const paint = () => {
      frame = timer = undefined;
      drawn = own.next;
      redraw();
    };
    const draw = (now) => {
      if (Math.abs(own.next - drawn) < HURRY || !drawn || now) {
        clearTimeout(timer);
        timer = undefined;
        frame ??= requestAnimationFrame(paint);
      } else if (frame === undefined) timer ??= setTimeout(paint, 150);
    };
    const leave = () => {
      stop();
      away = true;
      setState("away");
      draw(true);
    };
    const start = (begin) => {
      stop();
      away = false;
      partial = begin.limit !== undefined;
      setState("connecting"); // what was said of the old place says nothing of the new one
      stop = follow(own, socket, attempt, begin, (what, detail) => {
        if (what === "skipped") {
          // A reader who has let go keeps what there is; the others go on at the end.
          if (!stick.current) return leave();
          own.reset(detail.to, detail.line);
          skipped.current += detail.lines;
        } else if (what === "stopped") {
          if (detail.length - detail.offset > PIECE) leave();
          else start({ from: own.next });
        } else if (what === "data") {
          // Nobody reads so much at once: what is in view must not be pushed out.
          if (!stick.current && own.size > WINDOW * 0.9) leave();
        } else if (what === "started") {
          if (detail.length <= begin.all_below) partial = false;
        } else setState(what);
        if (what === "ended") ended.current?.(detail);
        return draw(what !== "data");
      });
    };
    const jump = (begin, target) => {
      wanted.current = target;
      start({ ...begin, limit: PIECE });
    };
    move.current = {
      toEnd: () => {
        skipped.current = 0;
        start({ tail: PIECE, all_below: WHOLE });
      },
      toLine: (line, align = "center") => jump({ line: Math.max(1, line - BEFORE) }, { kind: "L", from: line, align }),
      toOffset: (offset) => jump({ near: Math.max(0, offset - 32 * 1024), align: 1 }, { kind: "B", from: offset, align: "center" }),
      earlier: async (before) => {
        if (busy || own.first === 0) return false;
        const top = own.lines[0]?.n ?? 1;
        if (own.size > WINDOW * 0.8) {
          move.current.toLine(top, "start");
          return false;
        }
        busy = true;
        const { era } = own;
        const piece = await fetchEarlier(socket, attempt, own.first);
        busy = false;
        if (!piece || own.era !== era || model.current !== own) return false;
        own.prepend(piece);
        before();
        redraw();
        return true;
      },
      later: () => {
        if (!away) return;
        if (own.size > WINDOW * 0.8) move.current.toLine(own.lines.at(-1).n, "end");
        else start({ from: own.next, limit: PIECE });
      },
      get away() {
        return away;
      },
      get partial() {
        return partial;
      },
    };
    const anchor = anchored ? parseAnchor(location.hash) : null;
    if (anchor?.kind === "L") start({ line: Math.max(1, anchor.from - BEFORE), all_below: WHOLE, limit: PIECE });
    else if (anchor) move.current.toOffset(anchor.from);
    else move.current.toEnd();
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      stop();
    };
  }, [socket, attempt]);
  return { model, state, redraw, move, wanted, skipped };
}

export function LogPane({ socket, raw, attempt = 0, running, compact, waiting = "Waiting for output", scriptHref = "", onEnd }) {
  const stick = useRef(compact || !parseAnchor(location.hash));
  const { model, state, redraw, move, wanted, skipped } = useLog(socket, attempt, onEnd, stick, !compact);
  const lines = model.current.lines;
  const box = useRef(null);
  const list = useRef(null);
  const find = useRef(null);
  const lastTop = useRef(0);
  const [following, setFollowing] = useState(stick.current);
  const [times, flipTimes] = useChoice("times", "no");
  const [wrap, flipWrap] = useChoice("wrap", "yes");
  const [words, setWords] = useState("");
  const [hit, setHit] = useState(0);
  const [picked, setPicked] = useState(() => (compact ? null : parseAnchor(location.hash)));
  const [shift, setShift] = useState(false);
  const [loading, setLoading] = useState(false);
  const [regex, setRegex] = useState(false);
  // What is not here, and expressions (ours could hang the page), are searched for by the server.
  const remote = Boolean(words.trim()) && (regex || model.current.first > 0 || move.current?.partial);
  const local = useHits(model, remote ? "" : words, state, redraw);
  const found = useFound(raw, attempt, remote ? words : "", regex);
  const hits = remote ? found.items : local; // empty while the answer to new words is on its way
  useSlash(find, !compact);

  const setStick = useCallback((on) => {
    stick.current = on;
    setFollowing(on);
  }, []);
  const toEnd = useCallback(() => {
    if (model.current.lines.length) list.current?.scrollToIndex(model.current.lines.length - 1, { align: "end" });
  }, [model]);

  // Stay at the end while following; rows that wrap get their height only after they are drawn.
  useEffect(() => {
    if (stick.current) toEnd();
  });
  const arrived = useRef(false);
  // Only what the reader does changes whether we follow. Rows that get their height late, or a
  // log that is still short, move the content as well and mean nothing.
  const touched = useRef(-Infinity);
  const touch = () => void (touched.current = performance.now());
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    const up = scrollTop < lastTop.current - 1;
    lastTop.current = scrollTop;
    if (performance.now() - touched.current > 1000) return;
    touch(); // a swipe rolls on for a while
    const atEnd = scrollHeight - scrollTop - clientHeight < 24;
    if (up && scrollTop < NEAR) earlier();
    if (!up && scrollHeight - scrollTop - clientHeight < NEAR && move.current.away) {
      move.current.later();
      return;
    }
    if (atEnd !== stick.current && (atEnd ? !move.current.partial : up)) setStick(atEnd);
  };

  // The line that the address or a jump names, once it is there.
  useEffect(() => {
    const target = wanted.current ?? (arrived.current ? null : picked);
    if (!target) return undefined;
    const own = model.current;
    const at = target.kind === "L" ? own.indexOfNumber(target.from) : own.indexOfOffset(target.from);
    if (at < 0) {
      if ((state === "ended" || state === "away") && lines.length) {
        arrived.current = true; // the log has no such line
        wanted.current = null;
        if (state === "ended") setStick(true);
      }
      return undefined;
    }
    list.current?.scrollToIndex(at, { align: target.align ?? "center" });
    // While lines still stream in, the list may measure again and forget where it was sent.
    const { id } = lines[at];
    const timer = setTimeout(() => {
      const row = box.current?.querySelector(`[data-id="${id}"]`)?.getBoundingClientRect();
      const view = box.current?.getBoundingClientRect();
      if (row && row.top < view.bottom && row.bottom > view.top) {
        arrived.current = true;
        if (wanted.current === target) wanted.current = null;
      }
      redraw();
    }, 60);
    return () => clearTimeout(timer);
  });

  const goTo = async (next) => {
    let all = hits;
    if (remote && next >= all.length && found.next !== null) all = await found.more();
    if (!all.length) return;
    const at = (next + all.length) % all.length;
    setHit(at);
    setStick(false);
    const own = model.current;
    const index = remote ? own.indexOfOffset(all[at].offset) : own.indexOfId(all[at]);
    if (remote && index < 0) move.current.toOffset(all[at].offset);
    else list.current?.scrollToIndex(Math.max(0, index), { align: "center" });
  };
  const search = (text) => {
    setWords(text);
    setHit(0);
  };
  // The first answer to new words is shown without asking for it.
  const shownFor = useRef("");
  useEffect(() => {
    if (words && hits.length && shownFor.current !== words) {
      shownFor.current = words;
      goTo(0);
    }
    if (!words) shownFor.current = "";
  });

  const pick = (event) => {
    const row = event.target.closest?.(".log-number")?.parentElement;
    const line = row && lines[model.current.indexOfId(Number(row.dataset.id))];
    if (!line || compact) return;
    const range = event.shiftKey && picked?.kind === "L" ? [picked.from, line.n] : [line.n, line.n];
    const next = { kind: "L", from: Math.min(...range), to: Math.max(...range) };
    arrived.current = true;
    setPicked(next);
    setStick(false);
    const hash = `#L${next.from}${next.to > next.from ? `-L${next.to}` : ""}`;
    history.replaceState(history.state, "", location.pathname + location.search + hash);
  };
  const isPicked = (line) => {
    if (!picked) return false;
    const here = picked.kind === "L" ? line.n : line.at;
    return here >= picked.from && here <= picked.to;
  };
  const copyPicked = async () => {
    const chosen = lines.filter(isPicked);
    await copyText(chosen.map((line, i) => (i && !line.cont ? "\n" : "") + toSpans(line.text).map((s) => s.text).join("")).join(""));
  };

  const earlier = async () => {
    if (model.current.first === 0 || loading) return;
    setLoading(true);
    setStick(false);
    await move.current.earlier(() => setShift(true));
    setLoading(false);
  };
  // For the one drawing that has the earlier lines, however late that comes.
  useEffect(() => {
    if (shift) setShift(false);
  }, [shift]);
  const toFollow = () => {
    setStick(true);
    // Also while a later piece is on its way: the end of that piece is not the end of the log.
    if (move.current.away || move.current.partial) move.current.toEnd();
    else toEnd();
  };

  const keys = (event) => {
    touch();
    if (event.key === "End") {
      event.preventDefault();
      toFollow();
    } else if (event.key === "Home") {
      setStick(false);
      if (model.current.first > 0) {
        event.preventDefault();
        move.current.toLine(1, "start");
      }
    }
  };
  const ended = state === "ended";
  const last = lines.at(-1);
  const gutter = `${Math.max(3, String(last?.n ?? 0).length) * 7.6 + 26}px`;
  const now = hits.length ? hits[Math.min(hit, hits.length - 1)] : undefined;
  const current = remote && now ? lines[model.current.indexOfOffset(now.offset)]?.id : now;
  const marked = regex ? "" : words;
  return (
    <div className="log" data-wrap={wrap ? "yes" : undefined} data-times={times ? "yes" : undefined} data-compact={compact ? "yes" : undefined}
      data-state={state} style={{ "--gutter": gutter, "--log-lines": Math.min(lines.length, 20) }}>
      {compact ? null : (
        <div className="log-bar" role="toolbar" aria-label="Log">
          <span className="search">
            <input ref={find} className="input" type="search" placeholder="Search in log" aria-label="Search in log" value={words} spellCheck={false} autoComplete="off"
              onChange={(event) => search(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter") goTo(hit + (event.shiftKey ? -1 : 1));
                else if (event.key === "Escape") {
                  event.stopPropagation();
                  if (words) search("");
                  else box.current.focus();
                }
              }} />
            {words ? null : <kbd className="kbd" aria-hidden="true">/</kbd>}
          </span>
          {words ? (
            <>
              <Tool label="Regular expression" title="Regular expression, searched for on the server" letters=".*" pressed={regex} onClick={() => { setRegex(!regex); setHit(0); }} />
              <span className="log-hits" role="status">{hitsInWords(hits, hit, remote ? found : null)}</span>
              <Tool label="Previous hit" sign="m4 9.5 4-4 4 4" onClick={() => goTo(hit - 1)} />
              <Tool label="Next hit" sign="m4 6.5 4 4 4-4" onClick={() => goTo(hit + 1)} />
            </>
          ) : null}
          {picked && lines.some(isPicked) ? (
            <Tool text={picked.to > picked.from ? "Copy lines" : "Copy line"} sign="M5.5 5.5h7.5V13H5.5zM10.5 5.5V3H3v7.5h2.5" onClick={copyPicked} />
          ) : null}
          <Tool text="Timestamps" sign="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 4.8V8l2.2 1.6" pressed={times} onClick={flipTimes} />
          <Tool text="Wrap" sign="M2.5 4h11M2.5 8h8.5a2.2 2.2 0 0 1 0 4.4H8.5m1.6-1.6-1.6 1.6 1.6 1.6M2.5 12h3" pressed={wrap} onClick={flipWrap} />
          <a className="btn btn-default btn-sm" href={address(raw, { attempt }).pathname + address(raw, { attempt }).search} download title="Download the raw log">
            <Drawing path="M8 2.5v7m-3-2.8 3 3 3-3M3 13h10" /> <span>Download</span>
          </a>
        </div>
      )}
      {remote && words ? <Found found={found} now={now} onPick={goTo} /> : null}
      <div className="log-view">
        {/* Silent for screen readers: thousands of lines would be read aloud. The foot speaks. */}
        <div className="log-scroll" ref={box} role="log" aria-live="off" aria-label="Log" tabIndex={0} onScroll={onScroll} onKeyDown={keys} onClick={pick}
          onWheel={touch} onTouchMove={touch} onPointerDown={touch}>
          <Virtualizer ref={list} data={lines} itemSize={ROW} shift={shift} scrollRef={box} bufferSize={400}>
            {(line) => (
              <Line key={line.id} line={line} rev={line.rev} words={marked} current={line.id === current} picked={isPicked(line)} times={times} scriptHref={scriptHref} />
            )}
          </Virtualizer>
        </div>
        {lines.length ? null : <Empty state={state} running={running} waiting={waiting} />}
        {model.current.first > 0 && lines.length ? (
          <button type="button" className="btn btn-default btn-sm log-earlier" data-pending={loading ? "yes" : undefined} disabled={loading} onClick={earlier}>
            {number.format(Math.max(1, lines[0].n - 1))} lines above, scroll up to load
          </button>
        ) : null}
        {!following && lines.length ? (
          <button type="button" className="btn btn-default btn-sm log-jump" onClick={toFollow}>
            <Drawing path="M8 2.5v9m-3.5-3.5L8 11.5 11.5 8" /> {ended || !running ? "To the end" : "Follow"}
          </button>
        ) : null}
      </div>
      <Foot model={model.current} state={state} following={following} running={running} skipped={skipped.current} />
    </div>
  );
}

function Drawing({ path }) {
  return <svg className="icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d={path} /></svg>;
}

function Tool({ text, label, title, sign, letters, pressed, onClick }) {
  return (
    <button type="button" className={`btn btn-default btn-sm ${text ? "" : "btn-icon"}`} aria-pressed={pressed} aria-label={label ?? text} title={title ?? label ?? text} onClick={onClick}>
      {letters ? <span className="log-letters" aria-hidden="true">{letters}</span> : <Drawing path={sign} />}
      {text ? <span>{text}</span> : null}
    </button>
  );
}

function Empty({ state, running, waiting }) {
  let text = waiting;
  if (state === "ended") text = "This run printed nothing.";
  else if (state === "refused") text = "This log cannot be read: it is gone, or the session has ended.";
  else if (!running) text = ""; // its bytes are on the way
  return <div className="log-empty">{text}</div>;
}

function hitsInWords(hits, hit, found) {
  if (found?.error) return found.error;
  if (!hits.length) return found?.busy ? "searching…" : found && found.next !== null ? "none yet" : "none";
  return `${number.format(Math.min(hit, hits.length - 1) + 1)} of ${number.format(hits.length)}${found && found.next !== null ? "+" : ""}`;
}

/** What the server found, with a way to each of them and to the rest. */
function Found({ found, now, onPick }) {
  if (!found.items.length && found.next === null) return null;
  return (
    <ol className="log-found" aria-label="Hits">
      {found.items.map((item, i) => (
        <li key={item.offset}>
          <button type="button" data-now={item === now ? "yes" : undefined} onClick={() => onPick(i)}>
            <span className="log-found-line">{number.format(item.line)}</span>
            <span className="log-found-text">{toSpans(item.snippet).map((span) => span.text).join("")}</span>
          </button>
        </li>
      ))}
      {found.next !== null ? (
        <li><button type="button" disabled={found.busy} onClick={found.more}>{found.stopped === "time" ? "Stopped after 5 s: go on searching" : "Search on"}</button></li>
      ) : null}
    </ol>
  );
}

function Foot({ model, state, following, running, skipped }) {
  const lines = `${number.format(model.count)} ${model.count === 1 ? "line" : "lines"}`;
  const amount = `${state === "away" ? "up to line " + number.format(model.count) : lines} · ${size(model.next)}`;
  const live = state === "open" && running;
  let pill = null;
  if (state === "lost") pill = <span className="pill" data-tone="warn"><i /><span>Connection lost, reconnecting…</span></span>;
  else if (live && following) pill = <span className="pill live" data-tone="info"><i /><span>following</span></span>;
  else if (live) pill = <span className="pill" data-tone="none"><i /><span>live, not following</span></span>;
  const [spoken, setSpoken] = useState("");
  const now = useRef("");
  now.current = state === "ended" ? `Log complete, ${lines}` : state === "lost" ? "Connection lost, reconnecting" : model.count ? lines : "";
  useEffect(() => {
    setSpoken(now.current);
    if (!live) return undefined;
    const timer = setInterval(() => setSpoken(now.current), 15_000);
    return () => clearInterval(timer);
  }, [live, state]);
  return (
    <div className="log-foot">
      {pill}
      <span>{amount}</span>
      {skipped ? <span className="log-skipped">{number.format(skipped)} lines not shown, scroll up to load</span> : null}
      {state === "away" ? <span className="log-skipped">more below, scroll down to load</span> : null}
      <span className="visually-hidden" role="status">{spoken}</span>
    </div>
  );
}

/** Searches what is loaded, in slices, and only the new lines while the log grows. */
function useHits(model, words, state, redraw) {
  const found = useRef({ words: "", model: null, ids: [], next: 0, first: 0 });
  const wanted = words.trim() ? words : "";
  useEffect(() => {
    const job = found.current;
    const own = model.current;
    const first = own.lines[0]?.id ?? 0;
    if (job.words !== wanted || job.model !== own || first < job.first) {
      found.current = { words: wanted, model: own, ids: [], next: first, first };
      if (!wanted) {
        if (job.words) redraw();
        return undefined;
      }
    }
    if (!wanted) return undefined;
    let timer;
    const step = () => {
      const now = found.current;
      const { lines } = own;
      if (!lines.length) return;
      const start = Math.max(0, now.next - lines[0].id);
      const end = Math.min(lines.length, start + 20_000);
      // The last line may still be growing: it is looked at again next time.
      const fresh = searchLines(lines, wanted, start, end);
      const last = lines.at(-1).id;
      const kept = now.ids.filter((id) => id >= lines[0].id && id < lines[0].id + start);
      const changed = fresh.length > 0 || kept.length !== now.ids.length;
      now.ids = kept.concat(fresh);
      now.next = end === lines.length ? last : lines[end - 1].id + 1;
      if (changed) redraw();
      if (end < lines.length) timer = setTimeout(step);
    };
    timer = setTimeout(step, 60);
    return () => clearTimeout(timer);
  }, [wanted, model.current, model.current.next, model.current.lines.length, state]);
  return useMemo(() => found.current.ids, [found.current.ids]);
}

const NO_HITS = [];

/** Most of what is typed on the way to an expression is none yet; the server need not say so. */
function isExpression(words) {
  try {
    return Boolean(new RegExp(words.replace(/^\(\?[imsU]+\)/, "").replaceAll("(?P<", "(?<")));
  } catch {
    return false;
  }
}

/** Hits that the server finds: a few hundred at a time, asked for when typing pauses. */
function useFound(raw, attempt, words, regex) {
  const nothing = { items: NO_HITS, next: null, stopped: null, busy: Boolean(words), error: "", of: "" };
  const of = `${regex} ${words}`;
  const [found, setFound] = useState(nothing);
  const latest = useRef(found);
  const stop = useRef(null);
  const set = (value) => {
    latest.current = value;
    setFound(value);
  };
  const ask = async (from) => {
    stop.current?.abort();
    const own = (stop.current = new AbortController());
    if (regex && !isExpression(words)) {
      set({ ...nothing, busy: false, error: "This expression is not complete.", of });
      return NO_HITS;
    }
    const kept = from ? latest.current.items : [];
    set({ ...(from ? latest.current : nothing), busy: true, of });
    try {
      const url = address(`${raw}/search`, { q: words, regex: regex ? "true" : "", from, limit: 200, attempt });
      const answer = await fetch(url, { signal: own.signal, credentials: "same-origin" });
      const body = await answer.json();
      if (own.signal.aborted) return latest.current.items;
      if (answer.ok) set({ items: kept.concat(body.items), next: body.next, stopped: body.stopped, busy: false, error: "", of });
      else set({ ...nothing, busy: false, error: body.message, of });
    } catch (error) {
      if (error.name !== "AbortError") set({ ...nothing, busy: false, error: "The server cannot be reached.", of });
    }
    return latest.current.items;
  };
  useEffect(() => {
    if (!words) {
      stop.current?.abort();
      return undefined;
    }
    const timer = setTimeout(() => ask(0), 250);
    return () => {
      clearTimeout(timer);
      stop.current?.abort();
    };
  }, [raw, attempt, words, regex]);
  return { ...(found.of === of ? found : nothing), more: () => ask(found.next) };
}
