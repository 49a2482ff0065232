// A live tail over server-sent events; survives reconnects, hidden pages and a busy server.

const HIDDEN_SECONDS = 30; // a hidden page gives its thread and its connection back after this
const RETRY_SECONDS = 5;

export class LogStream {
  /**
   * `on`: {records(list), state("connecting" | "live" | "waiting" | "paused"), gap()}; `gap` says that the
   * stream begins anew at the present, so that something may be missing.
   */
  constructor(query, on) {
    this.query = query;
    this.on = on;
    this.cursor = "";
    this.source = null;
    this.wanted = false;
    this.timer = 0;
    this.refusals = 0;
    this.opened = false;
    this.onVisibility = () => this.visibilityChanged();
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  start() {
    this.wanted = true;
    this.connect();
  }

  /** Resolves once the server sends everything written from now on, or after a while if it does not. */
  ready(seconds = 2) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      for (const event of ["open", "error"]) {
        this.source?.addEventListener(event, () => (clearTimeout(timer), resolve()), { once: true });
      }
    });
  }

  pause() {
    this.wanted = false;
    this.disconnect();
    this.on.state("paused");
  }

  close() {
    this.wanted = false;
    this.disconnect();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  connect() {
    clearTimeout(this.timer);
    if (this.source || !this.wanted) return;
    this.on.state("connecting");
    const parameters = new URLSearchParams({ query: this.query });
    if (this.cursor) parameters.set("cursor", this.cursor);
    const source = new EventSource(`/api/logs/tail?${parameters}`);
    this.source = source;
    source.addEventListener("open", () => {
      this.refusals = 0;
      if (this.opened && !this.cursor) this.on.gap();
      this.opened = true;
      this.on.state("live");
    });
    source.addEventListener("records", (event) => {
      this.cursor = event.lastEventId || this.cursor;
      this.on.records(JSON.parse(event.data).records);
    });
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.on.state("waiting");
      // a refused stream (400, 503) is closed for good by the browser; a broken one is not
      if (source.readyState === EventSource.CLOSED) {
        this.disconnect();
        this.refusals += 1;
        // a store that was made anew does not know the old place; its tail starts from now
        if (this.refusals > 1) this.cursor = "";
        this.timer = setTimeout(() => this.connect(), RETRY_SECONDS * 1000);
      }
    });
  }

  disconnect() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  visibilityChanged() {
    clearTimeout(this.timer);
    if (document.hidden) this.timer = setTimeout(() => this.disconnect(), HIDDEN_SECONDS * 1000);
    else if (this.wanted) this.connect();
  }
}
