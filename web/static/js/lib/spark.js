// Sparklines: one SVG path each, changed in place.

import { s } from "./dom.js";

const WIDTH = 88;
const HEIGHT = 20;

export function sparkline(label) {
  const area = s("path", { class: "spark-area" });
  const line = s("path", { class: "spark-line" });
  const root = s(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    area,
    line,
  );
  return {
    root,
    /** Draw [[seconds, value]] within [start, end]; gaps longer than two steps stay open. */
    draw(points, start, end, step, top) {
      let path = "";
      let areaPath = "";
      let last = null;
      let opened = 0;
      const x = (t) => (((t - start) / (end - start)) * (WIDTH - 2) + 1).toFixed(1);
      const y = (v) => (HEIGHT - 1.5 - (Math.max(0, v) / top) * (HEIGHT - 3)).toFixed(1);
      for (const [t, v] of points) {
        const joined = last !== null && t - last <= step * 2.5;
        if (!joined) {
          if (last !== null) areaPath += `L${x(last)} ${HEIGHT}Z`;
          opened = t;
          areaPath += `M${x(opened)} ${HEIGHT}L${x(t)} ${y(v)}`;
        } else areaPath += `L${x(t)} ${y(v)}`;
        path += `${joined ? "L" : "M"}${x(t)} ${y(v)}`;
        last = t;
      }
      if (last !== null) areaPath += `L${x(last)} ${HEIGHT}Z`;
      if (line.getAttribute("d") !== path) {
        line.setAttribute("d", path);
        area.setAttribute("d", areaPath);
      }
    },
  };
}
