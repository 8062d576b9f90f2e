// The script editor and the comparison view, both CodeMirror. Loaded only where they are used.
// Python side: cronium_app/ui/components/code.py.
import { useEffect, useRef, useState } from "react";
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import {
  HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, Prec, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, drawSelection, dropCursor, highlightActiveLine, highlightActiveLineGutter,
  highlightSpecialChars, keymap, lineNumbers, placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.controlKeyword], color: "var(--syn-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--syn-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--syn-number)" },
  { tag: [tags.comment, tags.meta], color: "var(--syn-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName), tags.definition(tags.variableName)], color: "var(--syn-name)" },
  { tag: [tags.className, tags.typeName, tags.standard(tags.variableName), tags.special(tags.variableName)], color: "var(--syn-type)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const HINTS = {
  python: "print('hello')",
  node: "console.log('hello')",
  bash: "echo hello",
};

function languageOf(name) {
  if (name === "python") return [python(), indentUnit.of("    ")];
  if (name === "node") return [javascript(), indentUnit.of("  ")];
  if (name === "bash") return [StreamLanguage.define(shell), indentUnit.of("  ")];
  return [];
}

// --- a marked line ------------------------------------------------------------------------------

const markLine = StateEffect.define();
const marked = StateField.define({
  create: () => Decoration.none,
  update(value, transaction) {
    let next = value.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(markLine)) {
        next = effect.value === null ? Decoration.none : Decoration.set([Decoration.line({ class: "cm-marked-line" }).range(effect.value)]);
      }
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function goToLine(view, number) {
  if (!number || number > view.state.doc.lines) return;
  const line = view.state.doc.line(number);
  view.dispatch({
    selection: { anchor: line.from },
    effects: [markLine.of(line.from), EditorView.scrollIntoView(line.from, { y: "center" })],
  });
}

const lineOfAddress = () => Number(/^#L(\d{1,7})\b/.exec(location.hash)?.[1] ?? 0);

// --- drafts: text that is not saved yet -----------------------------------------------------------

const draftName = (key) => `cronium.draft.${key}`;

function readDraft(key) {
  try {
    return key ? JSON.parse(localStorage.getItem(draftName(key)) ?? "null") : null;
  } catch {
    return null;
  }
}

function writeDraft(key, draft) {
  if (!key) return true;
  try {
    if (draft === null) localStorage.removeItem(draftName(key));
    else localStorage.setItem(draftName(key), JSON.stringify(draft));
    return true;
  } catch {
    return false; // the browser's store is full: the text stays in the editor only
  }
}

// Buttons outside the editor reach it by its draft key: `editor_call("save")` in Python.
const editors = new Map();

function publish() {
  window.cronium = Object.assign(window.cronium ?? {}, {
    editor: {
      call: (key, action) => (editors.get(key) ?? [...editors.values()].at(-1))?.[action]?.(),
      text: (key) => (editors.get(key) ?? [...editors.values()].at(-1))?.text(),
      clear: (key) => writeDraft(key, null),
    },
  });
}

// --- the editor -----------------------------------------------------------------------------------

export function CodeEditor({
  value = "", version = "", language = "python", draftKey = "", line = 0, readOnly = false, label = "Script", height = "", limit = 1048576, eventLimit = 950000,
  onSave, onTest, onLeave, onDirty, onDraft,
}) {
  const host = useRef(null);
  const view = useRef(null);
  const [note, setNote] = useState(null);
  const parts = useRef({ language: new Compartment(), readOnly: new Compartment(), hint: new Compartment() });
  const saved = useRef(value);
  const events = useRef({});
  events.current = { onSave, onTest, onLeave, onDirty, onDraft, draftKey, limit, eventLimit, version };

  useEffect(() => {
    let dirty = false;
    let timer;
    let left = null;
    let sent = null; // the text that was last given away to be saved
    let base = events.current.version; // the version that the text was typed on
    const text = () => view.current.state.doc.toString();
    const keep = () => {
      clearTimeout(timer);
      timer = undefined;
      const now = text();
      const differs = now !== saved.current;
      if (!writeDraft(events.current.draftKey, differs ? { text: now, base, at: Date.now() } : null)) {
        setNote({ kind: "full" });
      }
      if (differs !== dirty) {
        dirty = differs;
        events.current.onDirty?.(differs);
      }
    };
    const send = (name) => () => {
      const now = text();
      const size = new TextEncoder().encode(now).length;
      if (size > events.current.limit) {
        setNote({ kind: "long", size, limit: events.current.limit });
        return true;
      }
      // A frame that is too long for the page's socket would cost the whole connection.
      if (JSON.stringify(now).length > events.current.eventLimit) {
        setNote({ kind: "large", size });
        return true;
      }
      if (timer) keep();
      if (name === "onSave") sent = now;
      events.current[name]?.(now);
      return true;
    };
    const adopt = (next) => {
      saved.current = next;
      base = events.current.version;
      if (next !== text()) {
        view.current.dispatch({ changes: { from: 0, to: view.current.state.doc.length, insert: next } });
      }
      keep();
    };
    /** The server has another saved text. What was typed and not saved stays as it is. */
    const meet = (next) => {
      if (text() === saved.current || text() === next) {
        adopt(next);
        setNote(null);
        return;
      }
      saved.current = next;
      if (next === sent || base === "") base = events.current.version;
      const stale = base !== events.current.version;
      setNote((was) => (was?.kind === "draft" || stale ? { kind: "draft", at: was?.at ?? Date.now(), stale } : was));
      keep();
    };

    const draft = readDraft(events.current.draftKey);
    const restored = !readOnly && draft && typeof draft.text === "string" && draft.text !== value;
    const onUpdate = EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      // Flips at once when the first key is pressed; the store is written in pauses.
      if (!dirty) keep();
      clearTimeout(timer);
      timer = setTimeout(keep, 250);
    });
    const own = Prec.highest(keymap.of([
      { key: "Mod-Enter", run: send("onTest"), preventDefault: true },
      { key: "Mod-s", run: send("onSave"), preventDefault: true },
      { key: "Escape", run: (v) => (v.dispatch({ effects: markLine.of(null) }), false) },
    ]));
    const state = EditorState.create({
      doc: restored ? draft.text : value,
      extensions: [
        own, lineNumbers(), highlightSpecialChars(), history(), drawSelection(), dropCursor(), EditorState.allowMultipleSelections.of(true),
        indentOnInput(), bracketMatching(), closeBrackets(), autocompletion(), highlightActiveLine(), highlightActiveLineGutter(),
        highlightSelectionMatches(), syntaxHighlighting(colours), marked, onUpdate,
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
        EditorState.tabSize.of(4),
        parts.current.language.of(languageOf(language)),
        parts.current.hint.of(placeholder(HINTS[language] ?? "")),
        parts.current.readOnly.of([EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly)]),
        EditorView.contentAttributes.of({ "aria-label": label, autocapitalize: "off", autocorrect: "off", spellcheck: "false" }),
        EditorView.domEventHandlers({
          focus: () => void (left = text()),
          blur: () => {
            if (timer) keep();
            if (left !== null && left !== text()) send("onLeave")();
            left = null;
          },
        }),
      ],
    });
    view.current = new EditorView({ state, parent: host.current });
    const revert = () => {
      adopt(saved.current);
      setNote(null);
      view.current.focus();
    };
    const key = events.current.draftKey;
    const api = { text, save: send("onSave"), test: send("onTest"), revert, adopt, meet, goTo: (n) => goToLine(view.current, n) };
    editors.set(key, api);
    host.current.editor = api;
    publish();
    if (restored) {
      base = draft.base;
      setNote({ kind: "draft", at: draft.at, stale: draft.base !== events.current.version });
      events.current.onDraft?.();
      keep();
    }
    goToLine(view.current, lineOfAddress());
    const onHash = () => goToLine(view.current, lineOfAddress());
    addEventListener("hashchange", onHash);
    // A page that is closed within the pause must not lose the last words.
    const onHide = () => timer && keep();
    addEventListener("pagehide", onHide);
    return () => {
      if (timer) keep();
      clearTimeout(timer);
      removeEventListener("hashchange", onHash);
      removeEventListener("pagehide", onHide);
      if (editors.get(key) === api) editors.delete(key);
      view.current.destroy();
      view.current = null;
    };
    // The editor is made anew only when it is about another text.
  }, [draftKey]);

  const seen = useRef(version);
  useEffect(() => {
    const api = host.current?.editor;
    if (!api || (seen.current === version && saved.current === value)) return;
    seen.current = version;
    api.meet(value);
  }, [version, value]);

  useEffect(() => {
    view.current?.dispatch({
      effects: [
        parts.current.language.reconfigure(languageOf(language)),
        parts.current.hint.reconfigure(placeholder(HINTS[language] ?? "")),
        parts.current.readOnly.reconfigure([EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly)]),
      ],
    });
  }, [language, readOnly]);
  useEffect(() => {
    if (line) host.current?.editor?.goTo(line);
  }, [line]);

  return (
    <div className="editor" style={height ? { "--editor-height": height } : undefined}>
      {note ? <Note note={note} onClose={() => setNote(null)} onRevert={() => host.current.editor.revert()} /> : null}
      <div ref={host} />
    </div>
  );
}

function Note({ note, onClose, onRevert }) {
  if (note.kind === "long") {
    return (
      <div className="editor-note bad" role="alert">
        The script has {(note.size / 1048576).toFixed(1)} MiB; the limit is {note.limit / 1048576} MiB. Fetch large data in the script instead.
        <span className="grow" />
        <button type="button" className="btn btn-ghost btn-sm" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (note.kind === "large") {
    return (
      <div className="editor-note bad" role="alert">
        {(note.size / 1048576).toFixed(2)} MiB are too much to be sent from this page, though not for an event: save it by the API (PATCH /api/v1/events/…)
        or the command line. It is kept in this browser.
        <span className="grow" />
        <button type="button" className="btn btn-ghost btn-sm" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (note.kind === "full") {
    return <div className="editor-note bad" role="alert">This browser&apos;s storage is full: unsaved text will not survive a reload.</div>;
  }
  const when = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(note.at ?? Date.now());
  return (
    <div className="editor-note" role="status">
      {note.stale ? `Your unsaved text of ${when}. A newer version was saved since.` : `Your unsaved text of ${when} is back.`}
      <span className="grow" />
      <button type="button" className="btn btn-ghost btn-sm" onClick={onRevert}>Back to the saved text</button>
      <button type="button" className="btn btn-ghost btn-sm" onClick={onClose}>Keep</button>
    </div>
  );
}

// --- two texts ------------------------------------------------------------------------------------

const NARROW = "(max-width: 820px)";

export function DiffView({ before = "", after = "", language = "python", label = "Changes" }) {
  const host = useRef(null);
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const media = matchMedia(NARROW);
    const change = () => setNarrow(media.matches);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, []);
  useEffect(() => {
    if (before === after) return undefined;
    const common = [
      lineNumbers(), highlightSpecialChars(), syntaxHighlighting(colours), languageOf(language), EditorState.readOnly.of(true),
      EditorView.editable.of(false), EditorView.lineWrapping, EditorView.contentAttributes.of({ "aria-label": label }),
    ];
    const collapseUnchanged = { margin: 3, minSize: 6 };
    const view = narrow
      ? new EditorView({
        doc: after,
        extensions: [common, unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged })],
        parent: host.current,
      })
      : new MergeView({ a: { doc: before, extensions: common }, b: { doc: after, extensions: common }, collapseUnchanged, parent: host.current });
    return () => view.destroy();
  }, [before, after, language, label, narrow]);
  if (before === after) return <div className="diff-same">The two scripts are the same.</div>;
  return <div className="diff" ref={host} role="region" aria-label={label} tabIndex={0} />;
}
