// Graph: which model reads which, in layers from left to right.

const MOST_NODES = 150;

// The layer of each node: the longest path that leads to it.
function findLayers(nodes, edges) {
  const parents = new Map(nodes.map((node) => [node.name, []]));
  for (const [from, to] of edges) if (parents.has(from) && parents.has(to)) parents.get(to).push(from);
  const layers = new Map();
  const place = (name) => {
    if (!layers.has(name)) {
      layers.set(name, 0);
      layers.set(name, Math.max(-1, ...parents.get(name).map(place)) + 1);
    }
    return layers.get(name);
  };
  nodes.forEach((node) => place(node.name));
  return layers;
}

// Columns of names and of empty places for edges that pass through, ordered so that few edges cross.
function arrange(nodes, edges) {
  const layers = findLayers(nodes, edges);
  const columns = Array.from({ length: Math.max(-1, ...layers.values()) + 1 }, () => []);
  nodes.forEach((node) => columns[layers.get(node.name)].push(node.name));
  const hops = [];
  edges.forEach(([from, to], at) => {
    if (!layers.has(from) || !layers.has(to)) return;
    let last = from;
    for (let layer = layers.get(from) + 1; layer < layers.get(to); layer++) {
      const name = "\u0000" + at + "/" + layer;
      columns[layer].push(name);
      hops.push([last, name]);
      last = name;
    }
    hops.push([last, to]);
  });
  for (let sweep = 0; sweep < 12; sweep++) {
    const down = sweep % 2 === 0;
    const order = down ? columns.slice(1) : columns.slice(0, -1).reverse();
    for (const column of order) {
      const rank = new Map(columns.flatMap((each) => each.map((name, at) => [name, at / each.length])));
      const weigh = (name) => {
        const near = hops.filter((hop) => hop[down ? 1 : 0] === name).map((hop) => rank.get(hop[down ? 0 : 1]));
        return near.length ? near.reduce((sum, each) => sum + each, 0) / near.length : rank.get(name);
      };
      const weights = new Map(column.map((name) => [name, weigh(name)]));
      column.sort((a, b) => weights.get(a) - weights.get(b));
    }
  }
  return { columns, hops };
}

function showGraph(about) {
  let { nodes, edges } = site.graph;
  const near = about || (nodes.length > MOST_NODES ? (site.models[0] || {}).name : "");
  if (near && !nodes.some((node) => node.name === near)) throw { message: "there is no model '" + near + "'", hint: "" };
  if (near) {
    const keep = new Set([near]);
    edges.forEach(([from, to]) => { if (from === near) keep.add(to); if (to === near) keep.add(from); });
    nodes = nodes.filter((node) => keep.has(node.name));
    edges = edges.filter(([from, to]) => keep.has(from) && keep.has(to));
  }
  const { columns, hops } = arrange(nodes, edges);
  const wide = 190, high = 36, gapX = 70, gapY = 18;
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const width = columns.length * (wide + gapX) - gapX + 8, height = tallest * (high + gapY) + 8;
  const at = new Map();
  columns.forEach((column, x) => column.forEach((name, y) => {
    const offset = ((tallest - column.length) * (high + gapY)) / 2;
    at.set(name, [4 + x * (wide + gapX), 4 + offset + y * (high + gapY)]);
  }));
  const lines = hops.map(([from, to]) => {
    const [x1, y1] = at.get(from), [x2, y2] = at.get(to), half = high / 2;
    const bend = gapX / 2, start = x1 + wide;
    const through = to.startsWith("\u0000") ? "L" + (x2 + wide) + "," + (y2 + half) : "";
    return svg("path", { class: "edge", d: "M" + start + "," + (y1 + half) + " C" + (start + bend) + "," + (y1 + half) +
      " " + (x2 - bend) + "," + (y2 + half) + " " + x2 + "," + (y2 + half) + through });
  });
  const states = new Map(site.models.map((model) => [model.name, model]));
  const boxes = nodes.map((node) => {
    const [x, y] = at.get(node.name), model = states.get(node.name);
    const state = model ? model.state : "";
    const kind = { published: "good", running: "busy", waiting: "busy", "not run": "dull", "": "plain" }[state] || "bad";
    const what = node.name + ", " + node.kind + (state ? ", " + state : "");
    const label = node.name.length > 24 ? node.name.slice(0, 23) + "…" : node.name;
    const shape = [svg("rect", { x, y, width: wide, height: high, rx: node.kind === "enrichment" ? 4 : 17, class: "node " + kind }),
      svg("text", { x: x + wide / 2, y: y + 15, "text-anchor": "middle" }, label),
      svg("text", { x: x + wide / 2, y: y + 29, "text-anchor": "middle", class: "small" }, state || node.kind), svg("title", {}, what)];
    return model ? svg("a", { href: "#" + path(nodes.length < site.graph.nodes.length || model.exists ? "model" : "graph", node.name), "aria-label": what }, shape) : svg("g", {}, shape);
  });
  return [
    el("h1", {}, "Graph"),
    near ? el("p", {}, "Only what is next to ", el("strong", {}, near), ". ", nodes.length < site.graph.nodes.length && site.graph.nodes.length <= MOST_NODES ? link("/graph", "Show all") : null) : null,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Which model reads which" },
      svg("svg", { viewBox: "0 0 " + width + " " + height, width, height, class: "dag", role: "group", "aria-label": "Models and the tables that they read" }, lines, boxes)),
    site.graph.nodes.length > 8 ? choose("Show only what is next to", [["", "everything"], ...site.models.map((model) => [model.name, model.name])], about || "",
      (name) => go(name ? path("graph", name) : "/graph")) : null,
    facts(["model", "reads"], site.models.map((model) => [model.name, site.graph.edges.filter(([, to]) => to === model.name).map(([from]) => from).join(", ") || "nothing"])),
  ];
}
