// Keyboard: single keys and "g x" sequences, never while somebody types.

const bindings = new Map();
let pending = "";
let pendingTimer = 0;

/** Bind a key ("/", "j", "g t") to an action; the text is for the help. */
export function bind(keys, text, action) {
  bindings.set(keys, { text, action });
}

export const all = () => [...bindings].map(([keys, { text }]) => ({ keys, text }));

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) {
    event.target.blur();
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
  const keys = pending ? `${pending} ${event.key}` : event.key;
  pending = "";
  clearTimeout(pendingTimer);
  const found = bindings.get(keys);
  if (found) {
    event.preventDefault();
    found.action(event);
  } else if ([...bindings.keys()].some((k) => k.startsWith(`${keys} `))) {
    pending = keys;
    pendingTimer = setTimeout(() => (pending = ""), 1200);
  }
});

/** j and k through a list of elements, Enter opens; `rows` returns them as they stand now. */
export function walk(rows, open) {
  let current = null;
  const move = (by) => {
    const list = rows();
    if (!list.length) return;
    const at = list.indexOf(current);
    const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, at + by));
    current?.classList.remove("current");
    current = list[next];
    current.classList.add("current");
    current.scrollIntoView({ block: "nearest" });
  };
  bind("j", "Next row", () => move(1));
  bind("k", "Previous row", () => move(-1));
  bind("Enter", "Open the row", () => {
    if (current?.isConnected) open(current);
  });
}
