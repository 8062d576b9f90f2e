// The parts of the pages that live in the browser. The Python side is
// cronium_app/ui/components/browser.py; styles are in assets/cronium.css.
import {
  useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef,
  useState, useSyncExternalStore,
} from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { ColorModeContext, EventLoopContext } from "$/utils/context-registry";
import { duration, fullTime, nextTick, pointInTime } from "./time.js";

// --- clocks: one timer for the page, and only as fast as the youngest thing shown needs ---------

const clocks = new Set();
let clockTimer;

function tickClocks() {
  clockTimer = undefined;
  const now = Date.now();
  let wait = Infinity;
  for (const clock of clocks) {
    if (clock.due <= now) clock.run(now);
    wait = Math.min(wait, clock.due - now);
  }
  if (wait < Infinity && !document.hidden) clockTimer = setTimeout(tickClocks, Math.max(wait, 50));
}

/** Renders `read(now)` and calls it again when `due(now)` says that it will have changed. */
function useClock(read, due) {
  const [text, setText] = useState("");
  useEffect(() => {
    const clock = {
      due: 0,
      run(now) {
        setText(read(now));
        clock.due = due(now);
      },
    };
    clocks.add(clock);
    clock.run(Date.now());
    clearTimeout(clockTimer);
    tickClocks();
    const wake = () => document.hidden || tickClocks();
    document.addEventListener("visibilitychange", wake);
    return () => {
      clocks.delete(clock);
      document.removeEventListener("visibilitychange", wake);
    };
  }, [read, due]);
  return text;
}

export function Since({ start, end, seconds, className }) {
  const from = start ? Date.parse(start) : NaN;
  const to = end ? Date.parse(end) : NaN;
  const fixed = typeof seconds === "number" ? seconds : to - from >= 0 ? (to - from) / 1000 : null;
  const read = useCallback(
    (now) => (fixed !== null ? duration(fixed) : from ? duration(Math.max(0, (now - from) / 1000), true) : ""),
    [from, fixed],
  );
  const due = useCallback(
    (now) => (fixed !== null || !from ? Infinity : now + 1000 - ((now - from) % 1000)),
    [from, fixed],
  );
  const text = useClock(read, due);
  return <span className={className ?? "nowrap"}>{text}</span>;
}

export function When({ time, show = "relative", zone = "", empty = "–", className }) {
  const at = time ? Date.parse(time) : NaN;
  const read = useCallback((now) => (Number.isNaN(at) ? empty : pointInTime(at, now, show, zone)), [at, show, zone, empty]);
  const due = useCallback((now) => (Number.isNaN(at) || show === "clock" ? Infinity : nextTick(at, now)), [at, show]);
  const text = useClock(read, due);
  if (Number.isNaN(at)) return <span className="faint">{empty}</span>;
  return (
    <time dateTime={time} title={fullTime(at, zone)} className={className ?? "nowrap"}>
      {text}
    </time>
  );
}

// --- links, ticks, copy -------------------------------------------------------------------------

export function NavLink({ to, children }) {
  const { pathname } = useLocation();
  const here = to === "/" ? pathname === "/" : pathname === to || pathname.startsWith(`${to}/`);
  // The page's part of the client is fetched before it is asked for.
  return (
    <Link to={to} prefetch="render" aria-current={here ? "page" : undefined}>
      {children}
    </Link>
  );
}

/** Puts one value into the address and keeps the other filters there, but not the place in the list. */
export function QueryChip({ name, value = "", tone = "", children }) {
  const { pathname, search } = useLocation();
  const query = new URLSearchParams(search);
  const on = (query.get(name) ?? "") === value;
  for (const key of [name, "from", "to"]) query.delete(key);
  if (value) query.set(name, value);
  return (
    <Link
      to={query.size ? `${pathname}?${query}` : pathname}
      className="chip" role="button" aria-pressed={on} data-tone={tone}
    >
      {children}
    </Link>
  );
}

const wordOf = (run) => (run.reason === "skipped" ? "skipped" : run.status);

export function Ticks({ runs, slots = 30 }) {
  // One handler for all: a page of 50 rows has 1,500 bars, too many to be Links of their own.
  const navigate = useNavigate();
  const go = (event) => {
    const href = event.target.getAttribute("href");
    if (!href || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(href);
  };
  const shown = (runs ?? []).slice(-slots);
  const counts = {};
  for (const run of shown) counts[wordOf(run)] = (counts[wordOf(run)] ?? 0) + 1;
  const words = Object.entries(counts).map(([word, n]) => `${n} ${word}`).join(", ");
  const summary = shown.length ? `Last ${shown.length} runs: ${words}` : "No runs yet";
  return (
    <span className="ticks" role="group" aria-label={summary} title={shown.length ? undefined : summary} onClick={go}>
      {Array.from({ length: Math.max(0, slots - shown.length) }, (_, i) => <span key={`e${i}`} data-status="none" />)}
      {shown.map((run, i) =>
        run.href ? (
          <a key={run.href} href={run.href} tabIndex={-1} aria-hidden="true" title={run.title || wordOf(run)} data-status={run.status} data-reason={run.reason} />
        ) : (
          <span key={i} title={run.title || wordOf(run)} data-status={run.status} data-reason={run.reason} />
        ),
      )}
    </span>
  );
}

/** Also works where the clipboard interface is missing: over plain http on another host. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = Object.assign(document.createElement("textarea"), { value: text });
    box.style.cssText = "position:fixed;opacity:0;inset:0 auto auto 0";
    (document.querySelector("dialog[open]") ?? document.body).append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1600);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <button
      type="button" className="copy" title={done ? "Copied" : label} aria-label={label}
      data-done={done ? "yes" : undefined} onClick={async () => setDone(await copyText(text))}
    >
      <Sign name={done ? "check" : "copy"} size={14} />
      <span className="visually-hidden" role="status">{done ? "Copied" : ""}</span>
    </button>
  );
}

const SIGNS = {
  check: "m3 8.5 3.2 3.2L13 4.8",
  close: "m4 4 8 8m0-8-8 8",
  copy: "M5.5 5.5h7.5V13H5.5zM10.5 5.5V3H3v7.5h2.5",
  down: "m4 6.5 4 4 4-4",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  plus: "M8 3v10M3 8h10",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9m3.3-1.2L13.5 13.5",
  unlocked: "M4 7.5h8v5.5H4zM5.8 7.5V5.2a2.3 2.3 0 0 1 4.4-.8",
  user: "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8M3 13.4c.6-2.3 2.6-3.6 5-3.6s4.4 1.3 5 3.6",
  exit: "M6.5 3H3v10h3.5M7 8h6.5m-2.5-2.5L13.5 8 11 10.5",
};

export function Sign({ name, size = 16 }) {
  return (
    <svg viewBox="0 0 16 16" width={size} height={size} className={`icon icon-${name}`} aria-hidden="true">
      <path d={SIGNS[name] ?? SIGNS.more} />
    </svg>
  );
}

// --- inputs -------------------------------------------------------------------------------------

const typing = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  !/^(checkbox|radio|button)$/.test(target.type ?? "");

// The "/" of a page belongs to the search field that appeared last (a log's before a list's).
const slashTargets = [];

export function useSlash(ref, on = true) {
  useEffect(() => {
    if (!on) return undefined;
    const focus = () => {
      ref.current?.focus();
      ref.current?.select?.();
    };
    slashTargets.push(focus);
    return () => void slashTargets.splice(slashTargets.indexOf(focus), 1);
  }, [ref, on]);
}

export function TextInput({ value = "", kind = "text", wait = 300, hotkey, onChange, onEnter, ...rest }) {
  const [text, setText] = useState(String(value ?? ""));
  const box = useRef(null);
  const told = useRef(String(value ?? ""));
  const timer = useRef();
  const latest = useRef(onChange);
  latest.current = onChange;
  const textNow = useRef(text);
  textNow.current = text;

  // A value from Python replaces the text, unless it is the echo of what we said ourselves.
  useEffect(() => {
    const next = String(value ?? "");
    if (next === told.current) return;
    told.current = next;
    clearTimeout(timer.current);
    setText(next);
  }, [value]);

  const tell = useCallback((next) => {
    clearTimeout(timer.current);
    if (next === told.current) return;
    told.current = next;
    latest.current?.(next);
  }, []);
  useEffect(() => () => tell(textNow.current), [tell]);
  useSlash(box, hotkey === "/");

  const change = (next) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => tell(next), wait);
  };
  const props = {
    ...rest,
    ref: box,
    value: text,
    onChange: (event) => change(event.target.value),
    onBlur: () => tell(text),
    onKeyDown: (event) => {
      if (event.key === "Enter" && kind !== "area" && !event.nativeEvent.isComposing) {
        tell(text);
        onEnter?.(text);
      } else if (event.key === "Escape" && kind === "search") {
        if (text) change("");
        else box.current.blur();
        event.stopPropagation();
      }
    },
  };
  if (kind === "area") return <textarea spellCheck={false} {...props} />;
  return (
    <>
      <input type={kind} autoComplete="off" spellCheck={false} {...props} />
      {hotkey && !text ? <kbd className="kbd" aria-hidden="true">{hotkey}</kbd> : null}
    </>
  );
}

/** Flips at once; if Python has not agreed after a while, it flips back. */
export function Switch({ checked, onChange, ...rest }) {
  const [on, setOn] = useState(Boolean(checked));
  const timer = useRef();
  const truth = useRef(checked);
  truth.current = checked;
  useEffect(() => {
    clearTimeout(timer.current);
    setOn(Boolean(checked));
  }, [checked]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const flip = (event) => {
    setOn(event.target.checked);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setOn(Boolean(truth.current)), 4000);
    onChange?.(event.target.checked);
  };
  return <input {...rest} type="checkbox" role="switch" checked={on} onChange={flip} />;
}

export function TagInput({ value, suggestions, label = "Tags", onChange }) {
  const tags = value ?? [];
  const [text, setText] = useState("");
  const list = useId();
  const box = useRef(null);
  const add = (raw) => {
    const fresh = raw.split(/[,\s]+/).map((t) => t.trim()).filter((t) => t && !tags.includes(t));
    if (fresh.length) onChange?.([...tags, ...new Set(fresh)]);
    setText("");
  };
  return (
    <div className="input tag-input" onClick={() => box.current?.focus()}>
      {tags.map((name) => (
        <span className="tag" key={name}>
          {name}
          <button type="button" aria-label={`Remove ${name}`} onClick={() => onChange?.(tags.filter((t) => t !== name))}>
            <Sign name="close" size={12} />
          </button>
        </span>
      ))}
      <input
        ref={box} value={text} list={list} aria-label={label} autoComplete="off" placeholder={tags.length ? "" : "Add a tag"}
        onChange={(event) => (/[,\s]$/.test(event.target.value) ? add(event.target.value) : setText(event.target.value))}
        onBlur={() => add(text)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && text) {
            event.preventDefault();
            add(text);
          } else if (event.key === "Backspace" && !text && tags.length) onChange?.(tags.slice(0, -1));
        }}
      />
      <datalist id={list}>
        {(suggestions ?? []).filter((s) => !tags.includes(s)).map((s) => <option key={s} value={s} />)}
      </datalist>
    </div>
  );
}

/** `NAME=value` lines, with `export` and quotes as people paste them. */
function pairsOf(text) {
  return text.split(/\r?\n/).flatMap((line) => {
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line);
    if (!match) return [];
    const quoted = /^(["'])(.*)\1\s*$/.exec(match[2]);
    return [[match[1], quoted ? quoted[2] : match[2]]];
  });
}

export function PairsInput({ value, label = "Variables", onChange }) {
  const [rows, setRows] = useState(value ?? []);
  const told = useRef(JSON.stringify(value ?? []));
  const latest = useRef(onChange);
  latest.current = onChange;
  const timer = useRef();
  useEffect(() => {
    const next = JSON.stringify(value ?? []);
    if (next === told.current) return;
    told.current = next;
    setRows(value ?? []);
  }, [value]);
  const change = (next, now = false) => {
    setRows(next);
    clearTimeout(timer.current);
    const tell = () => {
      const full = next.filter(([name, text]) => name || text);
      const json = JSON.stringify(full);
      if (json !== told.current) {
        told.current = json;
        latest.current?.(full);
      }
    };
    if (now) tell();
    else timer.current = setTimeout(tell, 300);
  };
  const put = (i, column, text) => change(rows.map((row, j) => (j === i ? (column ? [row[0], text] : [text, row[1]]) : row)));
  const paste = (event, i) => {
    const pairs = pairsOf(event.clipboardData.getData("text"));
    if (!pairs.length) return;
    event.preventDefault();
    change([...rows.slice(0, i), ...pairs, ...rows.slice(i + 1)], true);
  };
  return (
    <div className="pairs" role="group" aria-label={label}>
      {rows.map(([name, text], i) => (
        <div key={i}>
          <input className="input mono" value={name} aria-label={`Name ${i + 1}`} placeholder="NAME" autoComplete="off" spellCheck={false}
            onChange={(event) => put(i, 0, event.target.value)} onPaste={(event) => paste(event, i)} />
          <input className="input mono" value={text} aria-label={`Value of ${name || i + 1}`} placeholder="value" autoComplete="off" spellCheck={false}
            onChange={(event) => put(i, 1, event.target.value)} />
          <button type="button" className="copy" aria-label={`Remove ${name || "row"}`} onClick={() => change(rows.filter((_, j) => j !== i), true)}>
            <Sign name="close" size={14} />
          </button>
        </div>
      ))}
      <button type="button" className="btn btn-ghost btn-sm" onClick={() => setRows([...rows, ["", ""]])}>
        <Sign name="plus" size={14} /> Add a variable
      </button>
    </div>
  );
}

// --- dialog, menu -------------------------------------------------------------------------------

export function Dialog({ open, title, wide, onClose, children }) {
  const box = useRef(null);
  const name = useId();
  useEffect(() => {
    const dialog = box.current;
    if (open && !dialog.open) dialog.showModal();
    else if (!open && dialog.open) dialog.close();
  }, [open]);
  return (
    <dialog
      ref={box} aria-labelledby={name} data-wide={wide ? "yes" : undefined}
      onCancel={(event) => {
        // Python decides whether it closes; until then it stays.
        event.preventDefault();
        onClose?.();
      }}
      onMouseDown={(event) => event.target === box.current && onClose?.()}
    >
      {open ? (
        <>
          <header className="dialog-head">
            <h2 id={name}>{title}</h2>
            <button type="button" className="btn btn-ghost btn-sm btn-icon" aria-label="Close" onClick={() => onClose?.()}>
              <Sign name="close" />
            </button>
          </header>
          {children}
        </>
      ) : null}
    </dialog>
  );
}

export function Menu({ label, text, icon = "more", align = "end", small, children }) {
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  const list = useRef(null);
  const button = useRef(null);
  const items = () => [...(list.current?.querySelectorAll("[role=menuitem], button, a, input") ?? [])];
  const close = useCallback((focus) => {
    setOpen(false);
    if (focus) button.current?.focus();
  }, []);

  useLayoutEffect(() => {
    if (!open) return undefined;
    const place = () => {
      const at = button.current.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = list.current;
      const up = align.includes("up") || at.bottom + height + 8 > innerHeight;
      const left = align.startsWith("start") ? at.left : at.right - width;
      list.current.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
      list.current.style.top = `${Math.max(8, up ? at.top - height - 6 : at.bottom + 6)}px`;
    };
    place();
    const outside = (event) => root.current?.contains(event.target) || close(false);
    const away = () => close(false);
    document.addEventListener("pointerdown", outside);
    addEventListener("resize", away);
    return () => {
      document.removeEventListener("pointerdown", outside);
      removeEventListener("resize", away);
    };
  }, [open, align, close]);

  const keys = (event) => {
    const all = items();
    const here = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      all[(here + step + all.length) % all.length]?.focus();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close(true);
    } else if (event.key === "Tab") close(false);
  };
  return (
    <div className="menu" ref={root}>
      <button
        ref={button} type="button" aria-haspopup="menu" aria-expanded={open} aria-label={text ? `${label}: ${text}` : label}
        title={text ? undefined : label} className={`btn ${text ? "btn-default" : "btn-ghost btn-icon"} ${small ? "btn-sm" : ""}`}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          setOpen(true);
          setTimeout(() => items()[0]?.focus());
        }}
      >
        <Sign name={icon} />
        {text ? <span>{text}</span> : null}
      </button>
      {open ? (
        <div className="menu-list" role="menu" aria-label={label} ref={list} onKeyDown={keys}
          onClick={(event) => event.target.closest("[role=menuitem]") && close(true)}>
          {children}
        </div>
      ) : null}
    </div>
  );
}

// --- theme, session, connection -----------------------------------------------------------------

export function ThemeSwitch() {
  const { rawColorMode, setColorMode } = useContext(ColorModeContext);
  return (
    <div className="segmented" role="radiogroup" aria-label="Colours">
      {[["light", "Light"], ["dark", "Dark"], ["system", "System"]].map(([mode, words]) => (
        <button key={mode} type="button" role="radio" aria-checked={rawColorMode === mode} onClick={() => setColorMode(mode)}>
          {words}
        </button>
      ))}
    </div>
  );
}

const never = () => () => {};
const isInsecure = () => location.protocol === "http:";

export function InsecureMark() {
  const shown = useSyncExternalStore(never, isInsecure, () => false);
  if (!shown) return null;
  const local = /^(localhost|127\.|\[::1\])/.test(location.hostname);
  const why = local
    ? "Plain http. Fine on this machine; use https to reach it from others."
    : "Plain http: passwords and logs cross the network readable. Put it behind https.";
  return (
    <span className="insecure" title={why}>
      <Sign name="unlocked" size={14} /> Not encrypted
    </span>
  );
}

export function SignOut({ action = "/auth/logout" }) {
  const leave = async () => {
    try {
      await fetch(action, { method: "POST", credentials: "same-origin", redirect: "manual" });
    } finally {
      // The tab's token and with it everything the server kept for this tab.
      sessionStorage.clear();
      location.assign("/login");
    }
  };
  return (
    <button type="button" role="menuitem" tabIndex={-1} className="menu-item" onClick={leave}>
      <Sign name="exit" /> <span>Sign out</span>
    </button>
  );
}

export function ConnectionBar() {
  const [, errors] = useContext(EventLoopContext);
  const lost = errors.length > 0;
  const [shown, setShown] = useState(false);
  useEffect(() => {
    // A quick reconnect (a restart takes a fraction of a second) is nobody's business.
    const timer = setTimeout(() => setShown(lost), lost ? 700 : 0);
    return () => clearTimeout(timer);
  }, [lost]);
  return (
    <div role="status" aria-live="polite">
      {shown ? (
        <div className="reconnect">
          <i /> Reconnecting…
        </div>
      ) : null}
    </div>
  );
}

// --- palette, shortcuts, help -------------------------------------------------------------------

const MAC = typeof navigator !== "undefined" && /Mac|iP(hone|ad)/.test(navigator.platform ?? "");
const CTRL = MAC ? "⌘" : "Ctrl";
let openPalette = () => {};

export function PaletteButton() {
  return (
    <button type="button" className="palette-button" aria-label="Find anything" onClick={() => openPalette("find")}>
      <Sign name="search" />
      <span>Find anything</span>
      <kbd className="kbd" aria-hidden="true">{CTRL} K</kbd>
    </button>
  );
}

export function Palette({ commands, found, onFind }) {
  const navigate = useNavigate();
  const [open, setOpen] = useState("");
  const prefix = useRef(0);
  openPalette = setOpen;

  useEffect(() => {
    const keys = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        setOpen((was) => (was === "find" ? "" : "find"));
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (typing(event.target) || document.querySelector("dialog[open]")) return;
      if (event.key === "/" && slashTargets.length) {
        event.preventDefault();
        slashTargets.at(-1)();
      } else if (event.key === "?") {
        event.preventDefault();
        setOpen("help");
      } else if (event.key === "g") {
        prefix.current = event.timeStamp;
      } else {
        const after = event.timeStamp - prefix.current < 1200 ? `g ${event.key}` : event.key;
        prefix.current = 0;
        const command = (commands ?? []).find((c) => c.keys === after);
        if (command) {
          event.preventDefault();
          navigate(command.href);
        }
      }
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [commands, navigate]);

  if (open === "help") return <Help commands={commands ?? []} onClose={() => setOpen("")} />;
  if (open === "find") return <Finder commands={commands ?? []} found={found ?? []} onFind={onFind} onClose={() => setOpen("")} />;
  return null;
}

function useModal(onClose) {
  const box = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.focus?.();
  }, []);
  return {
    ref: box,
    onCancel: (event) => {
      event.preventDefault();
      onClose();
    },
    onMouseDown: (event) => event.target === box.current && onClose(),
  };
}

function Finder({ commands, found, onFind, onClose }) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef(null);
  const name = useId();
  const modal = useModal(onClose);
  const latest = useRef(onFind);
  latest.current = onFind;
  useEffect(() => {
    const timer = setTimeout(() => latest.current?.(text), text ? 120 : 0);
    return () => clearTimeout(timer);
  }, [text]);

  const rows = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => words.every((word) => row.label.toLowerCase().includes(word));
    return [...commands.filter(fits), ...found];
  }, [text, commands, found]);
  const here = Math.min(at, rows.length - 1);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [here]);

  const go = (row) => {
    if (!row) return;
    onClose();
    navigate(row.href);
  };
  let group;
  return (
    <dialog className="palette" aria-label="Find anything" {...modal}>
      <input
        value={text} placeholder="Find an event, a page, an action" role="combobox" aria-expanded="true" aria-controls={name}
        aria-activedescendant={rows.length ? `${name}-${here}` : undefined} autoComplete="off" spellCheck={false} autoFocus
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
          if (step && rows.length) {
            event.preventDefault();
            setAt((here + step + rows.length) % rows.length);
          } else if (event.key === "Enter") go(rows[here]);
        }}
      />
      <div className="palette-list" role="listbox" id={name} ref={list} aria-label="Results">
        {rows.length ? null : <div className="palette-none">Nothing is called that.</div>}
        {rows.map((row, i) => {
          const head = row.group && row.group !== group ? <div className="palette-group">{row.group}</div> : null;
          group = row.group;
          return (
            <div key={`${row.href}${i}`} role="presentation">
              {head}
              <div className="palette-item" role="option" id={`${name}-${i}`} aria-selected={i === here} onMouseMove={() => setAt(i)} onClick={() => go(row)}>
                <span className="cut">{row.label}</span>
                <span className="faint sm cut">{row.hint}</span>
                <span className="grow" />
                {row.keys ? row.keys.split(" ").map((k) => <kbd className="kbd" key={k}>{k}</kbd>) : null}
              </div>
            </div>
          );
        })}
      </div>
    </dialog>
  );
}

const KEYS = [
  ["Everywhere", [["Find anything", `${CTRL} K`], ["Search this page", "/"], ["These shortcuts", "?"]]],
  ["Editor", [["Test", `${CTRL} ↵`], ["Save", `${CTRL} S`], ["Find in the script", `${CTRL} F`]]],
  ["Log", [["Next, previous hit", "↵, ⇧ ↵"], ["Select a range of lines", "⇧ click"], ["To the end", "End"]]],
];

function Help({ commands, onClose }) {
  const modal = useModal(onClose);
  const own = commands.filter((c) => c.keys).map((c) => [c.label, c.keys]);
  return (
    <dialog aria-label="Keyboard shortcuts" {...modal}>
      <header className="dialog-head">
        <h2>Keyboard shortcuts</h2>
        <button type="button" className="btn btn-ghost btn-sm btn-icon" aria-label="Close" onClick={onClose}>
          <Sign name="close" />
        </button>
      </header>
      <div className="dialog-body help">
        {[["Go to", own], ...KEYS].map(([head, rows]) => [
          <h3 key={head}>{head}</h3>,
          ...rows.flatMap(([what, key]) => [
            <span key={what}>{what}</span>,
            <span key={`${what}-key`}>{key.split(/(?<=[a-z?/]) (?=[a-z])/).map((k) => <kbd className="kbd" key={k}>{k}</kbd>)}</span>,
          ]),
        ])}
      </div>
    </dialog>
  );
}
