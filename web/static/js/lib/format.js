// Numbers, sizes and times for people.

const SIGNALS = {
  1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
  9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
};

export function bytes(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 99.95 ? 0 : 1;
  return `${value < 0 ? "−" : ""}${size.toFixed(digits).replace(/\.0$/, "")} ${units[unit]}`;
}

/** CPU in cores, two digits that count. */
export function cores(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  if (Math.abs(value) < 0.001) return "<0.001";
  if (Math.abs(value) < 0.1) return value.toFixed(3);
  return value.toFixed(value < 10 ? 2 : 1);
}

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return value.toExponential(2);
  if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: size >= 1e5 ? 0 : 1 });
  return String(Number(value.toPrecision(digits)));
}

/** A number of any size in few characters, for an axis: 12.5k, 600M. */
export function compact(value) {
  const size = Math.abs(value);
  const power = size >= 1e15 || size < 1e4 ? 0 : Math.floor(Math.log10(size) / 3);
  return power ? `${Number((value / 1000 ** power).toPrecision(4))}${" kMGT"[power]}` : number(value);
}

/** A number for a legend. */
export const rough = (value) => number(value, 3);

/** How long a piece of work took. */
export function took(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}

/** What a check said, as one short line: the address it asked is known anyway. */
export function checkOutput(text) {
  return text.replace(/^(?:GET )?https?:\/\/\S+: /, "").replaceAll(/\s+/g, " ").trim().slice(0, 200);
}

export const percent = (value) => (value === null || Number.isNaN(value) ? "–" : `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`);

/** A length of time, two units at most: 45 s, 12 min, 3 h 20 min, 5 d 2 h. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 5 && seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return hours < 10 && minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return days < 10 && hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** How long ago, coarse enough not to change with every look. */
export function ago(ms, now = Date.now()) {
  if (!ms) return "–";
  const passed = now - ms;
  if (passed < -1000) return `in ${duration(-passed)}`;
  if (passed < 10_000) return "now";
  if (passed < 60_000) return `${Math.floor(passed / 10_000) * 10} s`;
  if (passed < 3_600_000) return `${Math.floor(passed / 60_000)} min`;
  if (passed < 86_400_000) return `${Math.floor(passed / 3_600_000)} h`;
  return `${Math.floor(passed / 86_400_000)} d`;
}

/** "just now", "3 min ago". */
export function agoText(ms, now = Date.now()) {
  const text = ago(ms, now);
  return text === "now" ? "just now" : text === "–" || text.startsWith("in ") ? text : `${text} ago`;
}

/** How long something has lasted: "for 3 min". */
export const lasting = (ms, now = Date.now()) => `for ${now - ms < 60_000 ? duration(now - ms) : ago(ms, now)}`;

const two = (n) => String(n).padStart(2, "0");

export function date(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** Local wall-clock time, 24 hours. */
export function clock(ms, milliseconds = false) {
  const d = new Date(ms);
  const base = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return milliseconds ? `${base}.${String(d.getMilliseconds()).padStart(3, "0")}` : base;
}

export const dateTime = (ms) => `${date(ms)} ${clock(ms)}`;

/** Today's times without their date. */
export const moment = (ms, now = Date.now()) => (date(ms) === date(now) ? clock(ms) : dateTime(ms));

/** The value of an <input type="datetime-local">. */
export function localInput(ms) {
  const d = new Date(ms);
  return `${date(ms)}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** How a run ended, as a sentence part: "exit 137 (SIGKILL), out of memory". */
export function exitText(exit) {
  if (!exit) return "";
  const parts = [];
  if (exit.oom) parts.push("out of memory");
  if (exit.code !== null) {
    const signal = exit.signal || (exit.code > 128 && exit.code < 160 ? exit.code - 128 : 0);
    const name = signal && !exit.oom ? ` (${SIGNALS[signal] ?? `signal ${signal}`})` : "";
    parts.push(`exit ${exit.code}${name}`);
  } else if (exit.signal) parts.push(SIGNALS[exit.signal] ?? `signal ${exit.signal}`);
  else if (!exit.oom) parts.push("exit code unknown");
  if (exit.reason) parts.push(exit.reason);
  return parts.join(", ");
}

export const short = (id) => (/^[0-9a-f]{32,}$/.test(id) ? id.slice(0, 12) : id);

export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
