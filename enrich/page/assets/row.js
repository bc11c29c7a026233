// Row: one row with everything that is known about it.

function showMessages(messages) {
  return messages.map((message) => el("div", { class: "message" }, el("h3", {}, message.role || ""),
    message.parts.map((part) => part.picture !== undefined ? picture(part.picture, "picture in the request", true) : el("div", { class: "text" }, part.text))));
}

function readAnswer(text) {
  try { const value = JSON.parse(text); return value && typeof value === "object" && !Array.isArray(value) ? value : null; }
  catch { return null; }
}

function showRaw(raw) {
  if (raw === null || raw === undefined) return el("p", { class: "dull" }, "There is no answer.");
  const read = readAnswer(raw);
  return el("pre", { class: "raw" }, read ? JSON.stringify(read, null, 2) : raw);
}

// Every answer that the row has had, with the cells that changed marked.
function showLife(life) {
  let before = null;
  return el("ol", { class: "life" }, life.map((event) => {
    const answer = event.answer ? readAnswer(event.answer) : null, was = before;
    if (answer && event.outcome === "ok") before = answer;
    return el("li", {},
      el("div", {}, el("time", {}, when(event.happened_at)), " ", pill(event.outcome), " ", event.llm || "", " ",
        el("span", { class: "dull" }, "version " + event.prompt + (event.attempt > 1 ? ", attempt " + event.attempt : "") +
          (event.cost === null ? "" : ", " + usd(event.cost)) + (event.input_tokens === null ? "" : ", " + number(event.input_tokens) + " + " + number(event.output_tokens) + " tokens"))),
      event.error ? el("div", { class: "reason" }, event.error) : null,
      answer ? el("dl", { class: "cells" }, Object.entries(answer).map(([name, value]) => {
        const changed = was && JSON.stringify(was[name]) !== JSON.stringify(value);
        return [el("dt", {}, name, changed ? el("span", { class: "mark" }, " ≠") : null),
          el("dd", { class: changed ? "changed" : null }, typeof value === "string" ? value : JSON.stringify(value))];
      })) : event.answer ? el("pre", { class: "raw" }, event.answer) : null);
  }));
}

async function showRow(name, n) {
  const row = await source.row(name, n);
  const next = row.next !== undefined ? row.next : source.live && n + 1 < row.total ? n + 1 : null;
  const previous = row.previous !== undefined ? row.previous : source.live && n > 0 ? n - 1 : null;
  current.keys = { j: () => next !== null && go(path("row", name, next)), k: () => previous !== null && go(path("row", name, previous)) };
  const cells = (role) => {
    const found = row.columns.map((column, at) => [column, row.cells[at]]).filter(([column]) => role.includes(column.role));
    return el("dl", { class: "cells" }, found.map(([column, value]) => [el("dt", {}, column.name), el("dd", {}, showCell(value, column, true))]));
  };
  const asks = row.columns.some((column) => column.role === "key");
  return [
    el("h1", {}, name + ", row " + number(n + 1)),
    el("nav", { class: "pager", "aria-label": "Rows" }, link(path("model", name), "All rows"),
      previous === null ? null : link(path("row", name, previous), "Previous (k)"), next === null ? null : link(path("row", name, next), "Next (j)")),
    el("div", { class: "columns" },
      el("section", { class: "card" }, el("h2", {}, asks ? "Input" : "Row"), (row.pictures || []).map((each) => picture(each, "picture of the row", true)), cells(["key", "input"])),
      asks ? el("section", { class: "card" }, el("h2", {}, "Answer"), el("p", {}, pill(row.outcome), " ", row.llm || "", " ",
        el("span", { class: "dull" }, [row.answered_at ? when(row.answered_at) : null, row.cost ? usd(Number(row.cost)) : null, row.stale === "true" ? "stale" : null].filter(Boolean).join(", "))),
        row.error ? el("p", { class: "reason" }, row.error) : null, cells(["output"]),
        el("h2", {}, "Raw answer"), showRaw(row.raw)) : null),
    asks && row.messages.length ? el("section", { class: "card" }, el("h2", {}, "Messages"), showMessages(row.messages)) : null,
    asks && row.life.length ? el("section", { class: "card" }, el("h2", {}, "Every answer so far"), showLife(row.life)) : null,
  ];
}
