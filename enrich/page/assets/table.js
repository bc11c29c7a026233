// A table of rows: inputs beside outputs.

const RIGHT = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*)$/;

function showCell(value, column, whole) {
  if (value === null || value === undefined) return el("span", { class: "null" }, "NULL");
  if (Array.isArray(value))
    return value.length ? value.map((item) => el("span", { class: "chip" }, item ?? "NULL")) : el("span", { class: "dull" }, "[]");
  const text = String(value);
  if (isLink(text)) return el("a", { class: whole ? null : "address", href: text, rel: "noreferrer noopener", target: "_blank" }, text);
  if (column.labels && column.labels.length) return el("span", { class: "chip" }, text);
  return whole ? el("div", { class: "text" }, text) : el("div", { class: "cut" }, text);
}

// The header cell of a column; with `sorting`, a click sorts by it.
function showHead(column, sorting) {
  const attributes = { scope: "col", class: column.role + (RIGHT.test(column.type || "") ? " right" : "") };
  if (!sorting) return el("th", attributes, column.name);
  const mine = sorting.by === column.place;
  if (mine) attributes["aria-sort"] = sorting.descending ? "descending" : "ascending";
  return el("th", attributes,
    button([column.name, mine ? (sorting.descending ? " ↓" : " ↑") : ""], () => sorting.sort(column.place),
      { title: column.type }));
}

// Rows as they come from page(): [n, outcome, error, stale, prompt, cells ...].
function showRows(model, page, sorting) {
  const asks = page.columns.some((column) => column.role === "key");
  const pictured = (page.pictures || []).some((each) => each.length);
  const opens = model !== null;
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rows" },
    el("table", { class: "rows" },
      el("thead", {}, el("tr", {},
        opens ? el("th", { scope: "col", class: "n" }, "#") : null,
        pictured ? el("th", { scope: "col" }, "picture") : null,
        page.columns.map((column) => showHead(column, sorting)),
        asks ? showHead({ place: "outcome", name: "outcome", role: "about" }, sorting) : null)),
      el("tbody", {}, page.rows.map((row, at) => el("tr", {},
        opens ? el("th", { scope: "row", class: "n" }, link(path("row", model, row[0]), number(row[0] + 1))) : null,
        pictured ? el("td", {}, (page.pictures[at] || []).map((each) => picture(each, "picture of row " + (row[0] + 1)))) : null,
        page.columns.map((column, place) =>
          el("td", { class: column.role + (RIGHT.test(column.type || "") ? " right" : "") }, showCell(row[5 + place], column))),
        asks ? el("td", { class: "about" }, pill(row[1]), row[3] === true || row[3] === "true" ? el("span", { class: "dull" }, " stale") : null,
          row[2] ? el("div", { class: "reason" }, row[2]) : null) : null)))));
}

function showPager(state, total, go) {
  const { offset, limit } = state;
  const last = total === null ? null : Math.max(0, Math.floor((total - 1) / limit) * limit);
  const upto = total === null ? offset + limit : Math.min(offset + limit, total);
  const text = total !== null && offset >= total ? "no rows here" : number(offset + 1) + "–" + number(upto) + " of " + (total === null ? "…" : number(total));
  return el("nav", { class: "pager", "aria-label": "Pages" },
    button("First", () => go(0), { disabled: offset === 0 }),
    button("Previous", () => go(Math.max(0, offset - limit)), { disabled: offset === 0 }),
    el("span", { role: "status" }, text),
    button("Next", () => go(offset + limit), { disabled: last !== null && offset >= last }),
    button("Last", () => go(last), { disabled: last === null || offset >= last }));
}

// A small table of facts: rows of cells, the first of which is the heading of its row.
function facts(heads, rows, right = []) {
  return el("div", { class: "scroll" }, el("table", { class: "facts" },
    el("thead", {}, el("tr", {}, heads.map((head, at) => el("th", { scope: "col", class: right.includes(at) ? "right" : null }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, at) =>
      at ? el("td", { class: right.includes(at) ? "right" : null }, cell) : el("th", { scope: "row" }, cell)))))));
}
