// Review: a random sample of rows, judged by keyboard.

const isLabeled = (column) => column.labels && column.labels.length > 0;

// The field for one column of the answer: read() gives its value, write(value) sets it.
function makeField(column, changed) {
  const id = "field-" + column.place;
  const label = el("div", { class: "field-name", id }, column.name);
  if (isLabeled(column)) {
    let chosen = new Set();
    const draw = () => buttons.forEach((each) => each.setAttribute("aria-pressed", String(chosen.has(each.dataset.label))));
    const toggle = (value) => {
      if (!column.list) chosen = new Set(chosen.has(value) ? [] : [value]);
      else if (!chosen.delete(value)) chosen.add(value);
      draw();
      changed();
    };
    const buttons = column.labels.map((text, at) => button([at < 9 ? el("kbd", {}, String(at + 1)) : null, " ", text], () => toggle(text), { "data-label": text, "aria-pressed": "false", class: "choice" }));
    return { column, choose: (at) => column.labels[at] !== undefined && toggle(column.labels[at]), focus: () => buttons[0].focus(),
      node: el("div", { class: "field", role: "group", "aria-labelledby": id }, label, el("div", { class: "choices" }, buttons)),
      read: () => (column.list ? column.labels.filter((text) => chosen.has(text)) : [...chosen][0] ?? null),
      write: (value) => { chosen = new Set(value === null ? [] : column.list ? value : [value]); draw(); } };
  }
  const box = el(/VARCHAR/.test(column.type) ? "textarea" : "input", { "aria-labelledby": id, rows: column.list ? 4 : 3, oninput: changed });
  return { column, focus: () => box.focus(), choose: () => false,
    node: el("div", { class: "field" }, label, column.list ? el("div", { class: "dull" }, "one a line") : null, box),
    read: () => (column.list ? box.value.split("\n").filter((line) => line.trim()) : box.value === "" ? null : box.value),
    write: (value) => { box.value = value === null ? "" : column.list ? value.join("\n") : value; } };
}

const same = (one, other) => JSON.stringify(Array.isArray(one) ? [...one].sort() : one) === JSON.stringify(Array.isArray(other) ? [...other].sort() : other);

async function showReview(name, given) {
  const blind = given.blind === "true";
  const words = { model: name, blind: String(blind), ...Object.fromEntries(["outcome", "column", "label", "prompt", "search"].filter((word) => given[word]).map((word) => [word, given[word]])) };
  const filtered = Object.keys(words).length > 2;
  let queue = await source.queue(words), at = 0, done = [], touched = false, asking = null;
  const outputs = queue.columns.filter((column) => column.role === "output");
  const status = el("p", { role: "status", class: "dull" }), counts = el("p", {}), inputs = el("div", {}), said = el("p", { class: "dull" });
  const fields = outputs.map((column) => makeField(column, () => { touched = true; draw(); }));
  const decide = button("", () => submit()), form = el("div", {}, fields.map((field) => field.node));

  const row = () => queue.rows[at];
  const answer = () => Object.fromEntries(queue.columns.map((column, place) => [column, row()[5 + place]]).filter(([column]) => column.role === "output").map(([column, value]) => [column.name, value]));
  const isRight = () => { const known = answer(); return fields.every((field) => same(field.read(), known[field.column.name])); };

  function load() {
    touched = false;
    if (!row()) { draw(); return; }
    const known = answer();
    fields.forEach((field) => field.write(blind ? (field.column.list ? [] : null) : known[field.column.name]));
    const shown = queue.columns.map((column, place) => [column, row()[5 + place]]).filter(([column]) => column.role !== "output");
    inputs.replaceChildren(...(queue.pictures[at] || []).map((each) => picture(each, "picture of the row", true)).filter(Boolean),
      el("dl", { class: "cells" }, shown.map(([column, value]) => [el("dt", {}, column.name), el("dd", {}, showCell(value, column, true))])));
    draw();
    if (document.activeElement && document.activeElement.matches("textarea, input")) document.activeElement.blur();
  }
  function draw() {
    const left = row();
    work.hidden = !left;
    end.hidden = Boolean(left);
    decide.replaceChildren(el("kbd", {}, "Enter"), document.createTextNode(blind ? " Save" : left && !isRight() ? " Save the correction" : " Right"));
    const many = queue.reviewed + done.length;
    counts.textContent = number(many) + " of " + number(queue.all) + " rows reviewed" + (queue.reviewer ? " by " + queue.reviewer : "");
  }
  async function more() {
    if (asking || queue.rows.length - at > 20 || queue.ended) return;
    asking = source.queue({ ...words, skip: queue.rows.map((each) => each[0]).slice(-400).join(",") });
    try {
      const found = await asking;
      queue.ended = !found.rows.length;
      queue.rows.push(...found.rows);
      queue.pictures.push(...found.pictures);
      draw();
    } finally { asking = null; }
  }
  function judge(verdict) {
    const mine = row();
    if (!mine) return;
    const values = Object.fromEntries(fields.map((field) => [field.column.name, field.read()]));
    const known = answer();
    done.push(at);
    at += 1;
    if (blind) said.textContent = clean("The llm said: " + Object.entries(known).map(([column, value]) => column + ": " + (Array.isArray(value) ? value.join(", ") : value)).join("; "));
    load();
    more();
    source.judge({ model: name, n: mine[0], verdict, values: verdict === "unsure" ? {} : values, queue: filtered ? "filter" : "random", blind })
      .then(() => { status.textContent = "Saved."; }, (problem) => { status.textContent = clean("Not saved: " + problem.message); at = done.pop() ?? at; load(); });
  }
  function submit() {
    if (blind && !touched) { status.textContent = "Give your own answer first."; return; }
    judge(isRight() ? "right" : "corrected");
  }
  function undo() {
    if (!done.length) { status.textContent = "There is nothing to undo."; return; }
    const back = done.pop();
    source.judge({ model: name, n: queue.rows[back][0], verdict: "undone", values: {}, queue: "random", blind })
      .then(() => { status.textContent = "Undone."; }, (problem) => { status.textContent = clean(problem.message); });
    at = back;
    load();
  }
  const active = () => fields.find((field) => field.node.contains(document.activeElement)) || fields.find((field) => isLabeled(field.column));
  current.keys = {
    Enter: submit, x: () => judge("unsure"), u: undo, e: () => (fields.find((field) => !isLabeled(field.column)) || fields[0]).focus(),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => [String(digit), () => active() && active().choose(digit - 1)])),
  };
  const figures = (site.reviews || {})[name] || {};
  const work = el("div", { class: "columns" },
    el("section", { class: "card" }, el("h2", {}, "Input"), inputs),
    el("section", { class: "card" }, el("h2", {}, blind ? "Your answer" : "Answer"), form,
      el("div", { class: "choices" }, decide, button([el("kbd", {}, "x"), " Cannot say"], () => judge("unsure")), button([el("kbd", {}, "e"), " Edit"], () => current.keys.e()), button([el("kbd", {}, "u"), " Undo"], undo)), said));
  const end = el("section", { class: "card" }, el("h2", {}, "Every row of the sample has been reviewed"), command("enrich evaluate " + name + " --labels " + name + "_review"));
  load();
  return [
    el("h1", {}, "Review " + name), modelTabs(name, "review"),
    el("div", { class: "filters" }, counts, el("label", {}, el("input", { type: "checkbox", checked: blind, onchange: (event) => go(path("review", name) + (event.target.checked ? "?blind=true" : "")) }), " hide the answer until I have given mine")),
    work, end, status,
    el("section", { class: "card" }, el("h2", {}, "So far"), showFigures(figures), el("p", {}, "Then score the whole table against what people said:"), command("enrich evaluate " + name + " --labels " + name + "_review")),
  ];
}

function showFigures(figures) {
  if (!figures.reviewed) return el("p", {}, "Nobody has reviewed a row yet. Rows come in random order, so that what you find is true of the whole table.");
  return [
    el("p", {}, number(figures.reviewed) + " rows: " + Object.entries(figures.verdicts || {}).map(([word, many]) => number(many) + " " + word).join(", ") + "."),
    (figures.likely || []).length ? facts(["column", "right in the sample", "likely in the whole table (95 %)", "reviewed", "more rows to halve the range"], figures.likely.map((each) =>
      [each.column || "all columns", percent(each.share), percent(each.low) + " to " + percent(each.high), number(each.reviewed), number(each.more)]), [1, 2, 3, 4]) : null,
    (figures.kappas || []).length ? facts(["reviewers", "column", "rows", "agreement", "Cohen's kappa"], figures.kappas.map((each) =>
      [each.reviewers.join(" and "), each.column, number(each.rows), percent(each.agreement), each.kappa === null ? "undefined: all the same" : each.kappa.toFixed(2)]), [2, 3, 4]) : null,
  ];
}
