// A list that draws only what can be seen: of a hundred thousand items about a hundred are elements.
//
// Heights are guessed until an item was drawn, then measured. What somebody looks at stays where it is,
// whatever is added, taken away or measured above it.

import { h } from "./dom.js";

const MARGIN_PIXELS = 400; // drawn above and below what is seen

export class VirtualList {
  /** `root` scrolls; `options`: {draw(item) => element, guess(item) => pixels}. Items are objects, each at most once. */
  constructor(root, { draw, guess }) {
    this.root = root;
    this.draw = draw;
    this.guess = guess;
    this.items = [];
    this.heights = [];
    this.elements = new Map(); // item -> element, of those drawn
    this.tops = new Float64Array(1); // tops[i] holds for i <= known
    this.known = 0;
    this.anchor = { index: 0, offset: 0 };
    this.sticky = false; // stay at the end
    this.frame = 0;
    this.pane = h("div", { class: "virtual-pane" });
    this.rows = h("div", { class: "virtual-rows" });
    this.pane.append(this.rows);
    root.replaceChildren(this.pane);
    root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    let width = root.clientWidth;
    new ResizeObserver(() => {
      if (root.clientWidth !== width) {
        width = root.clientWidth;
        this.reflow();
      } else this.later();
    }).observe(root);
    // a row that opens or closes
    new ResizeObserver(() => this.later()).observe(this.rows);
  }

  get length() {
    return this.items.length;
  }

  /** How far down an item begins. */
  top(index) {
    if (this.tops.length <= this.items.length) {
      const wider = new Float64Array(Math.max(1024, this.items.length * 2));
      wider.set(this.tops.subarray(0, this.known + 1));
      this.tops = wider;
    }
    for (let i = this.known; i < index; i += 1) this.tops[i + 1] = this.tops[i] + this.heights[i];
    this.known = Math.max(this.known, index);
    return this.tops[index];
  }

  /** The item at a height. */
  at(pixels) {
    this.top(this.items.length);
    let low = 0;
    let high = this.items.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= pixels) low = middle;
      else high = middle - 1;
    }
    return Math.max(low, 0);
  }

  replace(items) {
    this.items = [...items];
    this.heights = this.items.map(this.guess);
    this.known = 0;
    this.anchor = { index: 0, offset: 0 };
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    this.later();
  }

  append(items) {
    for (const item of items) {
      this.items.push(item);
      this.heights.push(this.guess(item));
    }
    this.later();
  }

  prepend(items) {
    this.items = [...items, ...this.items];
    this.heights = [...items.map(this.guess), ...this.heights];
    this.known = 0;
    this.anchor.index += items.length;
    this.later();
  }

  insert(index, item) {
    this.items.splice(index, 0, item);
    this.heights.splice(index, 0, this.guess(item));
    this.known = Math.min(this.known, index);
    if (index <= this.anchor.index) this.anchor.index += 1;
    this.later();
  }

  /** Take items away from the beginning; returns them. */
  dropFirst(count) {
    this.heights.splice(0, count);
    this.known = 0;
    this.anchor.index = Math.max(0, this.anchor.index - count);
    this.later();
    return this.items.splice(0, count);
  }

  /** Draw everything anew and guess all heights: the look or the width has changed. */
  reflow() {
    this.heights = this.items.map(this.guess);
    this.known = 0;
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    this.later();
  }

  /** Draw one item anew. */
  redraw(item) {
    this.elements.get(item)?.remove();
    this.elements.delete(item);
    this.later();
  }

  later() {
    this.frame ||= requestAnimationFrame(() => this.render());
  }

  scrolled() {
    if (this.root.scrollTop === this.placed) return; // that was ourselves
    const index = this.at(this.root.scrollTop);
    this.anchor = { index, offset: this.root.scrollTop - this.top(index) };
    this.later();
  }

  /** Bring the end into sight and keep it there, until `sticky` is taken away. */
  toEnd() {
    this.sticky = true;
    this.render();
  }

  /** Bring an item into sight; `block` as in scrollIntoView: "nearest" or "center". */
  reveal(index, block = "nearest") {
    if (index < 0) return;
    const view = this.root.clientHeight;
    for (let round = 0; round < 3; round += 1) {
      // what is drawn for the first time may be taller than guessed
      const [top, height] = [this.top(index), this.heights[index]];
      const now = this.root.scrollTop;
      let wanted = now;
      if (block === "center") wanted = top - (view - height) / 2;
      else if (top < now) wanted = top;
      else if (top + height > now + view) wanted = Math.min(top, top + height - view);
      wanted = Math.max(0, wanted);
      const first = this.at(wanted);
      this.anchor = { index: first, offset: wanted - this.top(first) };
      this.render();
    }
  }

  render() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { root, items } = this;
    const view = root.clientHeight;
    if (!items.length) {
      this.pane.style.height = "0";
      return;
    }
    // measuring may change what is in sight, hardly ever more than once
    for (let round = 0; round < 4; round += 1) {
      const total = this.top(items.length);
      this.anchor.index = Math.min(this.anchor.index, items.length - 1);
      const bottom = Math.max(0, total - view);
      const top = this.sticky ? bottom : Math.min(bottom, this.top(this.anchor.index) + this.anchor.offset);
      const first = this.at(Math.max(0, top - MARGIN_PIXELS));
      const last = this.at(top + view + MARGIN_PIXELS);
      this.put(first, last);
      this.pane.style.height = `${total}px`;
      this.rows.style.transform = `translateY(${this.top(first)}px)`;
      if (Math.abs(root.scrollTop - top) >= 1) root.scrollTop = top;
      this.placed = root.scrollTop;
      if (!this.measure(first, last)) break;
    }
    if (this.sticky) {
      const index = this.at(root.scrollTop);
      this.anchor = { index, offset: root.scrollTop - this.top(index) };
    }
    this.onrender?.();
  }

  /** Have exactly these items as elements, in order. */
  put(first, last) {
    const wanted = new Set();
    for (let i = first; i <= last; i += 1) wanted.add(this.items[i]);
    for (const [item, element] of this.elements) {
      if (wanted.has(item)) continue;
      element.remove();
      this.elements.delete(item);
    }
    let at = this.rows.firstChild;
    for (const item of wanted) {
      let element = this.elements.get(item);
      if (!element) {
        element = this.draw(item);
        this.elements.set(item, element);
      }
      if (element === at) at = at.nextSibling;
      else this.rows.insertBefore(element, at);
    }
  }

  /** Learn the heights of what is drawn; tells whether one was another than thought. */
  measure(first, last) {
    let changed = false;
    for (let i = first; i <= last; i += 1) {
      const height = this.elements.get(this.items[i]).getBoundingClientRect().height;
      if (Math.abs(height - this.heights[i]) < 0.1) continue;
      this.heights[i] = height;
      this.known = Math.min(this.known, i);
      changed = true;
    }
    return changed;
  }
}
