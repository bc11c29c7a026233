// Where the data comes from. Both sources answer the same four questions:
// site(), page(words), row(model, n) and review(words).

const block = document.getElementById("data");

// The server ends what it still does for an earlier question of the same tab.
const tab = Math.random().toString(36).slice(2);
let questions = 0;

const server = {
  live: true,
  token: "",
  async ask(path, words, posted) {
    const address = path + (words ? "?" + new URLSearchParams(words) : "");
    const options = { headers: { "X-Enrich-Token": this.token }, cache: "no-store" };
    if (posted) {
      options.method = "POST";
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(posted);
    }
    let response;
    try { response = await fetch(address, options); }
    catch { throw { message: "enrich view is not running any more", hint: "start it again: enrich view" }; }
    if (response.status === 403)
      throw { message: "this page belongs to another run of enrich view", hint: "open the address that it printed" };
    const found = await response.json();
    if (!response.ok || found.superseded) throw found;
    return found;
  },
  site() { return this.ask("/api/site"); },
  page(words) { return this.ask("/api/page", { ...words, tab, number: ++questions }); },
  row(model, n) { return this.ask("/api/row", { model, n }); },
  queue(words) { return this.ask("/api/review", words); },
  judge(verdict) { return this.ask("/api/review", null, verdict); },
};

// The export: the same questions, answered from the data inside the page.
const file = {
  live: false,
  data: null,
  async site() { return this.data.site; },
  async page(words) {
    const model = this.find(words.model);
    if (words.now) return this.pairs(model, words);
    const places = model.columns.map((column) => column.place);
    const cell = (row, place) => row[5 + places.indexOf(place)];
    let rows = model.rows.map((row, at) => [row, (model.pictures || [])[at] || []]);
    const search = (words.search || "").toLowerCase();
    if (words.outcome)
      rows = rows.filter(([row]) => words.outcome === "not ok" ? !["ok", "pending", "new"].includes(row[1]) : row[1] === words.outcome);
    if (words.prompt) rows = rows.filter(([row]) => row[4] === words.prompt);
    if (words.column)
      rows = rows.filter(([row]) => {
        const value = cell(row, words.column);
        return Array.isArray(value) ? value.includes(words.label) : String(value ?? "NULL") === words.label;
      });
    if (search)
      rows = rows.filter(([row]) => row.slice(5).some((value) => String(value ?? "").toLowerCase().includes(search)));
    if (words.sort) {
      const kind = (model.columns.find((column) => column.place === words.sort) || {}).type || "";
      const value = (row) => (words.sort === "outcome" ? row[1] : words.sort === "prompt" ? row[4] : cell(row, words.sort));
      const isNumber = RIGHT.test(kind);
      const way = words.descending === "true" ? -1 : 1;
      rows = [...rows].sort(([a], [b]) => {
        const x = value(a), y = value(b);
        if (x === null || y === null) return (x === null) - (y === null) || a[0] - b[0];
        const order = isNumber ? x - y : String(x) < String(y) ? -1 : String(x) > String(y) ? 1 : 0;
        return way * order || a[0] - b[0];
      });
    }
    const from = Number(words.offset || 0), shown = rows.slice(from, from + Number(words.limit || 100));
    return { ...model, rows: shown.map(([row]) => row), pictures: shown.map(([, each]) => each), total: rows.length };
  },
  async row(name, n) {
    const model = this.find(name);
    const at = model.rows.findIndex((row) => row[0] === n);
    if (at < 0) throw { message: "this row is not in the file", hint: "enrich view shows all rows" };
    const [, outcome, error, stale, prompt, ...cells] = model.rows[at];
    const known = { n, outcome, error, stale, prompt, cells, pictures: (model.pictures || [])[at] || [], messages: [], life: [], raw: null };
    const numbers = model.rows.map((row) => row[0]);
    return { ...model, rows: undefined, ...known, ...((model.details || {})[n] || {}), total: model.rows.length,
      next: numbers[at + 1], previous: numbers[at - 1] };
  },
  pairs(model, words) {
    const found = model.pairs;
    if (!found || found.versions.join() !== [words.was, words.now].join())
      throw { message: "these two versions are not in the file", hint: "enrich view compares any two" };
    const rows = words.differing === "true" ? found.rows.filter((row) => row.differs.some(Boolean)) : found.rows;
    const from = Number(words.offset || 0);
    return { ...found, rows: rows.slice(from, from + Number(words.limit || 100)), total: rows.length };
  },
  find(name) {
    const model = this.data.models[name];
    if (!model) throw { message: "the rows of '" + name + "' are not in the file", hint: "enrich view shows them" };
    return model;
  },
  async queue() { throw { message: "a file takes no reviews", hint: "enrich view" }; },
};

if (block) file.data = JSON.parse(block.textContent);
const source = block ? file : server;
