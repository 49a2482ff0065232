// Log records as they come from the server: each once, in order of time, in little memory.

const KEPT_WHOLE = new Set(["message", "@timestamp", "log.offset", "event.created"]);
const MOST_TEXTS = 20_000;

let texts = new Map();

/** Thousands of records name the same task, host and image: they share these texts. */
function shared(value) {
  if (typeof value !== "string") return value;
  const known = texts.get(value);
  if (known !== undefined) return known;
  if (texts.size >= MOST_TEXTS) texts = new Map();
  texts.set(value, value);
  return value;
}

function slim(record) {
  const { document } = record;
  for (const name of Object.keys(document)) if (!KEPT_WHOLE.has(name)) document[name] = shared(document[name]);
  return record;
}

/** Order of two records: by nanoseconds, which are texts since they are too long for numbers. */
export const compare = (a, b) => a.ts_ns.length - b.ts_ns.length || (a.ts_ns < b.ts_ns ? -1 : a.ts_ns > b.ts_ns ? 1 : 0);

export class LogRecords {
  /** Keeps the records of a VirtualList. */
  constructor(list) {
    this.list = list;
    this.seen = new Set();
  }

  get last() {
    return this.list.items.at(-1);
  }

  clear() {
    this.seen.clear();
    this.list.replace([]);
  }

  has(id) {
    return this.seen.has(id);
  }

  fresh(records) {
    return records.filter(({ id }) => !this.seen.has(id) && this.seen.add(id)).map(slim);
  }

  /** Add records at the end, or where their time belongs if that is a little before; returns how many were new. */
  add(records) {
    const fresh = this.fresh(records);
    const { items } = this.list;
    const onTime = [];
    for (const record of fresh) {
      const before = onTime.at(-1) ?? this.last;
      if (!before || compare(before, record) <= 0) {
        onTime.push(record);
        continue;
      }
      this.list.append(onTime.splice(0));
      let index = items.length;
      while (index > 0 && compare(items[index - 1], record) > 0) index -= 1;
      this.list.insert(index, record);
    }
    this.list.append(onTime);
    return fresh.length;
  }

  /** Add older records, oldest first, before all others. */
  addOlder(records) {
    const fresh = this.fresh(records);
    if (fresh.length) this.list.prepend(fresh);
    return fresh.length;
  }

  /** Forget the oldest beyond a number; tells whether there were any. */
  trim(most) {
    const count = this.list.length - most;
    if (count <= 0) return false;
    for (const { id } of this.list.dropFirst(count)) this.seen.delete(id);
    return true;
  }
}
