// Review: a random sample of rows, judged by keyboard.

const isLabeled = (column) => column.labels && column.labels.length > 0;

// The field for one column of the answer. It says what it was given until a person changes it.
function makeField(column, changed) {
  const id = "field-" + column.place;
  const field = { column, touched: false, given: null };
  const touch = () => { field.touched = true; changed(); };
  const label = el("div", { class: "field-name", id }, column.name);
  if (isLabeled(column)) {
    let chosen = new Set();
    const draw = () => buttons.forEach((each) => each.setAttribute("aria-pressed", String(chosen.has(each.dataset.label))));
    const toggle = (value) => {
      if (!column.list) chosen = new Set(chosen.has(value) ? [] : [value]);
      else if (!chosen.delete(value)) chosen.add(value);
      draw();
      touch();
    };
    const buttons = column.labels.map((text, at) => button([at < 9 ? el("kbd", {}, String(at + 1)) : null, " ", text],
      (event) => { toggle(text); leave(event); }, { "data-label": text, "aria-pressed": "false", class: "choice" }));
    return Object.assign(field, {
      choose: (at) => column.labels[at] !== undefined && toggle(column.labels[at]), focus: () => buttons[0].focus(),
      node: el("div", { class: "field", role: "group", "aria-labelledby": id }, label, el("div", { class: "choices" }, buttons)),
      read: () => (column.list ? column.labels.filter((text) => chosen.has(text)) : [...chosen][0] ?? null),
      write: (value) => { chosen = new Set(value === null ? [] : column.list ? value : [value]); draw(); } });
  }
  // In one line's text, Enter saves; a list has an item on each line, and a nested value is JSON.
  const many = column.list || column.nested;
  const isText = /VARCHAR/.test(column.type);
  const box = el(isText || many ? "textarea" : "input", { "aria-labelledby": id, rows: many ? 4 : 3, class: many ? null : "single", oninput: touch });
  const read = () => {
    if (column.list) return box.value.split("\n").filter((line) => line.trim());
    return box.value === "" && !isText ? null : box.value;
  };
  return Object.assign(field, { focus: () => box.focus(), choose: () => false, read,
    node: el("div", { class: "field" }, label, many ? el("div", { class: "dull" }, column.nested ? "JSON" : "one a line") : null, box),
    write: (value) => { box.value = value === null ? "" : column.list ? value.join("\n") : value; } });
}

// After a click with the mouse, keys are for the row again, not for the button.
const leave = (event) => { if (event.detail) event.target.closest("button").blur(); };

async function showReview(name, given) {
  const blind = given.blind === "true";
  const filters = ["outcome", "column", "label", "prompt", "search"].filter((word) => given[word]);
  const words = { model: name, ...Object.fromEntries(filters.map((word) => [word, given[word]])) };
  const queue = await source.queue(words);
  const outputs = queue.columns.filter((column) => column.role === "output");
  const done = []; // the places in the queue of what has been judged, in order
  let at = 0, asking = false, last = Promise.resolve();
  const status = el("p", { role: "status" }), counts = el("p", {}), inputs = el("div", {}), said = el("p", { class: "dull" }), soFar = el("div", {});
  const fields = outputs.map((column) => makeField(column, () => draw()));
  const decide = button("", (event) => { submit(); leave(event); });

  const row = () => queue.rows[at];
  const cells = (role) => queue.columns.map((column, place) => [column, row()[5 + place]]).filter(([column]) => (column.role === "output") === (role === "output"));
  const isTouched = () => fields.some((field) => field.touched);
  const next = () => { at = queue.rows.findIndex((_, place) => !done.includes(place)); if (at < 0) at = queue.rows.length; };

  function load() {
    if (row()) {
      const answer = new Map(cells("output").map(([column, value]) => [column.name, value]));
      fields.forEach((field) => {
        field.touched = false;
        field.write(blind ? (field.column.list ? [] : null) : answer.get(field.column.name) ?? null);
      });
      inputs.replaceChildren(...(queue.pictures[at] || []).map((each) => picture(each, "picture of the row", true)).filter(Boolean),
        el("dl", { class: "cells" }, cells("input").map(([column, value]) => [el("dt", {}, column.name), el("dd", {}, showCell(value, column, true))])));
      if (document.activeElement && document.activeElement.matches("textarea, input")) document.activeElement.blur();
    }
    draw();
  }
  function draw() {
    work.hidden = !row();
    end.hidden = Boolean(row());
    decide.replaceChildren(el("kbd", {}, "Enter"), document.createTextNode(blind ? " Save" : isTouched() ? " Save the correction" : " Right"));
    counts.textContent = number(queue.reviewed + done.length) + " of " + counted(queue.all, "row") + " reviewed" + (queue.reviewer ? " by " + queue.reviewer : "");
  }
  async function more() {
    if (asking || queue.ended || queue.rows.length - done.length > 20) return;
    asking = true;
    try {
      const found = await source.queue({ ...words, skip: queue.rows.map((each) => each[0]).join(",") });
      queue.ended = !found.rows.length;
      for (const part of ["rows", "pictures", "answers"]) queue[part].push(...found[part]);
      if (!row()) next();
      draw();
    } catch (problem) { status.textContent = clean(problem.message || String(problem)); }
    finally { asking = false; }
  }
  // One after the other, so that no "undo" overtakes what it takes back.
  const send = (verdict) => (last = last.catch(() => {}).then(() => source.judge(verdict)));
  const describe = (place) => ({ model: name, ...queue.answers[place], queue: filters.length ? "filter" : "random", blind });

  function judge(verdict) {
    if (!row()) return;
    const mine = at;
    const values = verdict === "unsure" ? {} : Object.fromEntries(fields.filter((field) => field.touched).map((field) => [field.column.name, field.read()]));
    if (blind) said.textContent = clean("The llm said: " + cells("output").map(([column, value]) => column.name + ": " + (Array.isArray(value) ? value.join(", ") : value)).join("; "));
    done.push(mine);
    next();
    load();
    more();
    send({ ...describe(mine), verdict, values }).then(
      (found) => { status.className = ""; status.textContent = { right: "Saved: right.", corrected: "Saved: corrected.", unsure: "Saved: cannot say." }[found.saved]; refresh(); },
      (problem) => {
        done.splice(done.indexOf(mine), 1);
        at = mine;
        load();
        status.className = "trouble";
        status.textContent = clean("Not saved: " + problem.message + (problem.hint ? " (" + problem.hint + ")" : ""));
      });
  }
  function submit() {
    if (blind && !isTouched()) { status.textContent = "Give your own answer first."; return; }
    judge("right");
  }
  function undo() {
    if (!done.length) { status.textContent = "There is nothing to undo."; return; }
    const back = done.pop();
    at = back;
    load();
    send({ ...describe(back), verdict: "undone", values: {} }).then(
      () => { status.className = ""; status.textContent = "Undone."; refresh(); },
      (problem) => { done.push(back); next(); load(); status.className = "trouble"; status.textContent = clean("Not undone: " + problem.message); });
  }
  async function refresh() {
    try { site = await source.site(); } catch { return; }
    soFar.replaceChildren(...[showFigures((site.reviews || {})[name] || {})].flat(9).filter(Boolean));
  }
  const edited = () => fields.find((field) => !isLabeled(field.column)) || fields[0];
  const active = () => fields.find((field) => field.node.contains(document.activeElement)) || fields.find((field) => isLabeled(field.column));
  current.keys = {
    Enter: submit, x: () => judge("unsure"), u: undo, e: () => row() && edited() && edited().focus(),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => [String(digit), () => row() && active() && active().choose(digit - 1)])),
  };
  const evaluate = "enrich evaluate " + name + " --labels " + name + "_review";
  const act = (key, text, action) => button([el("kbd", {}, key), " " + text], (event) => { action(); leave(event); });
  const work = el("div", { class: "columns" },
    el("section", { class: "card" }, el("h2", {}, "Input"), inputs),
    el("section", { class: "card" }, el("h2", {}, blind ? "Your answer" : "Answer"), fields.map((field) => field.node),
      el("div", { class: "choices" }, decide, act("x", "Cannot say", () => judge("unsure")), act("e", "Edit", () => current.keys.e()), act("u", "Undo", undo)), said));
  const end = el("section", { class: "card" }, el("h2", {}, "Every row of the sample has been reviewed"));
  soFar.replaceChildren(...[showFigures((site.reviews || {})[name] || {})].flat(9).filter(Boolean));
  load();
  return [
    el("h1", {}, "Review " + name), modelTabs(name, "review"),
    el("div", { class: "filters" }, counts, el("label", {}, el("input", { type: "checkbox", checked: blind, onchange: (event) => go(path("review", name) + (event.target.checked ? "?blind=true" : "")) }), " hide the answer until I have given mine")),
    work, end, status,
    el("section", { class: "card" }, el("h2", {}, "So far"), soFar, el("p", {}, "Score the whole table against what people said:"), command(evaluate)),
  ];
}

function showFigures(figures) {
  if (figures.problem) return el("p", { class: "trouble" }, figures.problem);
  if (!figures.reviewed) return el("p", {}, "Nobody has reviewed a row yet. Rows come in random order, so that what you find is true of the whole table.");
  return [
    el("p", {}, number(figures.reviewed) + " verdicts: " + Object.entries(figures.verdicts || {}).map(([word, many]) => number(many) + " " + word).join(", ") + "."),
    (figures.likely || []).length ? facts(["column", "right in the sample", "likely in the whole table (95 %)", "reviewed", "more rows to halve the range"], figures.likely.map((each) =>
      [each.column || "all columns", percent(each.share), percent(each.low) + " to " + percent(each.high), number(each.reviewed), number(each.more)]), [1, 2, 3, 4]) : null,
    (figures.kappas || []).length ? facts(["reviewers", "column", "rows", "agreement", "Cohen's kappa"], figures.kappas.map((each) =>
      [each.reviewers.join(" and "), each.column, number(each.rows), percent(each.agreement), each.kappa === null ? "undefined: all the same" : each.kappa.toFixed(2)]), [2, 3, 4]) : null,
  ];
}
