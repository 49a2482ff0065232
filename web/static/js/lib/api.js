// Asking the server, and asking again.

export class ApiError extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** GET (or POST a form) and return the JSON. Errors carry the server's own sentence. */
export async function ask(path, parameters = {}, { signal, post = false } = {}) {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of [value].flat()) form.append(name, one);
  }
  const text = form.toString();
  let response;
  try {
    response = post
      ? await fetch(path, { method: "POST", body: form, signal })
      : await fetch(text ? `${path}?${text}` : path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Taskscope does not answer. Is it still running?", 0, null);
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    throw new ApiError(body?.error ?? `The server answered ${response.status}.`, response.status, body);
  }
  return body;
}

/** A PromQL range query; returns [{metric, values: [[seconds, "v"], ...]}]. */
export async function queryRange(query, range, step, options) {
  const { start, end } = range;
  const body = await ask("/api/v1/query_range", { query, start, end, step }, { post: true, ...options });
  return body.data.result;
}

/** A PromQL instant query; returns {resultType, result}. */
export async function queryInstant(query, time, options) {
  return (await ask("/api/v1/query", { query, time }, { post: true, ...options })).data;
}

/**
 * Call `work` now and then again and again; slower while it fails, not at all while the page is hidden.
 * Returns a function that stops it; `.now()` on it asks at once, or as soon as
 * the question under way is answered.
 */
export function poll(work, seconds, onError = () => {}) {
  let timer = 0;
  let failures = 0;
  let stopped = false;
  let running = false;
  let again = false;
  const controller = new AbortController();
  async function turn() {
    clearTimeout(timer);
    if (stopped || running) return;
    running = true;
    try {
      await work(controller.signal);
      failures = 0;
      connection(true);
    } catch (error) {
      if (error.name !== "AbortError") {
        failures += 1;
        if (error.status === 0) connection(false);
        onError(error);
        if (!(error instanceof ApiError)) console.error(error);
      }
    }
    running = false;
    if (again) {
      again = false;
      turn();
    } else if (!stopped && !document.hidden) timer = setTimeout(turn, seconds * 1000 * Math.min(1 + failures, 6));
  }
  const onVisible = () => {
    if (!document.hidden) turn();
  };
  document.addEventListener("visibilitychange", onVisible);
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    controller.abort();
    document.removeEventListener("visibilitychange", onVisible);
  };
  stop.now = () => {
    again = running; // what is under way was asked before whatever has changed
    turn();
  };
  turn();
  return stop;
}

let connectedSince = Date.now();

/** Show in the header that what the page says may be old. */
function connection(good) {
  const element = document.getElementById("connection");
  if (good) {
    connectedSince = Date.now();
    element.hidden = true;
    return;
  }
  const seconds = Math.round((Date.now() - connectedSince) / 1000);
  element.textContent = `No answer; data is ${seconds} s old`;
  element.hidden = false;
}
