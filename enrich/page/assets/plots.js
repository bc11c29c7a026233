// Plots as SVG. Each has a description for people who do not see it, and a title on every mark.

const COLORS = 8; // classes c0 to c7 in the style

function frame(width, height, what, ...children) {
  return svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": what, class: "plot" },
    svg("title", {}, what), ...children);
}

function legend(names) {
  return el("ul", { class: "legend" }, names.map((name, at) =>
    el("li", {}, el("span", { class: "swatch c" + (at % COLORS) }), name)));
}

// A round number at or above the largest value.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= value * 0.9999) || 10 * unit;
}

// Stacked columns: `bars` is [[label, [value of each name ...]] ...].
function plotStacks(what, names, bars, format) {
  const width = 640, height = 220, left = 60, bottom = 34, top = 10;
  const most = roundUp(Math.max(...bars.map(([, values]) => values.reduce((sum, each) => sum + each, 0)), 0));
  const scale = (value) => (value / most) * (height - top - bottom);
  const step = (width - left) / Math.max(bars.length, 1), wide = Math.min(48, step * 0.7);
  const every = Math.ceil(bars.length / 8);
  const lines = [0, 0.5, 1].map((share) => {
    const y = height - bottom - scale(share * most);
    return [svg("line", { x1: left, x2: width, y1: y, y2: y, class: "grid" }),
      svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, format(share * most))];
  });
  const columns = bars.map(([label, values], at) => {
    let y = height - bottom;
    const x = left + at * step + (step - wide) / 2;
    const parts = values.map((value, which) => {
      if (!value) return null;
      y -= scale(value);
      return svg("rect", { x, y, width: wide, height: scale(value), class: "c" + (which % COLORS) },
        svg("title", {}, label + ", " + names[which] + ": " + format(value)));
    });
    return [parts, at % every ? null : svg("text", { x: x + wide / 2, y: height - bottom + 16, "text-anchor": "middle" }, label)];
  });
  return [frame(width, height, what, lines, columns), names.length > 1 ? legend(names) : null];
}

// Horizontal bars, one or two to a label: `rows` is [[label, now, before or null] ...].
function plotBars(what, rows, names, format = number) {
  const two = names.length > 1, each = two ? 30 : 20, left = 150, width = 640, height = rows.length * each + 6;
  const most = Math.max(1e-9, ...rows.map(([, now, before]) => Math.max(now, before || 0)));
  const scale = (value) => (value / most) * (width - left - 70);
  return [frame(width, height, what, rows.map(([label, now, before], at) => {
    const y = at * each + 4, high = two ? 11 : 14;
    const bar = (value, offset, kind) => [
      svg("rect", { x: left, y: y + offset, width: Math.max(scale(value), value ? 1 : 0), height: high, class: kind },
        svg("title", {}, label + ": " + format(value))),
      svg("text", { x: left + scale(value) + 5, y: y + offset + high - 2 }, format(value))];
    const short = label.length > 22 ? label.slice(0, 21) + "…" : label;
    return [svg("text", { x: left - 8, y: y + (two ? 15 : 11), "text-anchor": "end" }, short, svg("title", {}, label)),
      bar(now, 0, "c0"), two ? bar(before || 0, 12, "c7") : null];
  })), two ? el("ul", { class: "legend" }, el("li", {}, el("span", { class: "swatch c0" }), names[0]),
    el("li", {}, el("span", { class: "swatch c7" }), names[1])) : null];
}

// A share of a whole as one bar.
function meter(parts, what) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  let x = 0;
  return svg("svg", { viewBox: "0 0 200 10", preserveAspectRatio: "none", role: "img", "aria-label": what, class: "meter" },
    svg("rect", { x: 0, y: 0, width: 200, height: 10, class: "empty" }),
    parts.map(([kind, value]) => {
      const wide = (200 * value) / total, from = x;
      x += wide;
      return value ? svg("rect", { x: from, y: 0, width: wide, height: 10, class: kind }) : null;
    }));
}

// A matrix of counts: labels down, answers across.
function matrix(cells) {
  const rank = (at) => {
    const sums = new Map();
    for (const cell of cells) sums.set(cell[at], (sums.get(cell[at]) || 0) + cell[2]);
    return [...sums].sort((a, b) => b[1] - a[1]).slice(0, 14).map(([label]) => label);
  };
  const labels = rank(0), said = [...new Set([...labels.filter((label) => rank(1).includes(label)), ...rank(1)])].slice(0, 14);
  const count = new Map(cells.map(([label, answer, many]) => [label + "\u0000" + answer, many]));
  const most = Math.max(...cells.map((cell) => cell[2]), 1);
  return el("div", { class: "scroll" }, el("table", { class: "matrix" },
    el("caption", {}, "Rows: the label. Columns: the answer."),
    el("thead", {}, el("tr", {}, el("td", {}), said.map((answer) => el("th", { scope: "col" }, answer)))),
    el("tbody", {}, labels.map((label) => el("tr", {}, el("th", { scope: "row" }, label), said.map((answer) => {
      const many = count.get(label + "\u0000" + answer) || 0;
      const shade = many ? Math.min(4, 1 + Math.floor((3.99 * many) / most)) : 0;
      return el("td", { class: (label === answer ? "right-one " : "wrong-one ") + "shade" + shade }, many || "");
    }))))));
}
