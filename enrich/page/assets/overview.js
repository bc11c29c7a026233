// Overview: every model, what is under way, and what it has cost.

const FIGURES = ["f1", "accuracy", "exact"];
const mainFigure = (row) => { const name = FIGURES.find((each) => row[each] !== null); return [name, row[name]]; };

function describeReviews(model) {
  const found = (site.reviews || {})[model.name];
  if (found && found.problem) return el("p", { class: "trouble" }, found.problem);
  if (!found || !found.reviewed) return null;
  const worst = (found.likely || []).find((each) => each.column === null);
  return el("p", {}, number(found.reviewed) + " verdicts of reviewers. ",
    worst ? "Of all rows, " + percent(worst.low) + " to " + percent(worst.high) + " are likely to be right in all columns." : null);
}

function showModelLine(model) {
  const parts = [["good", model.ok || 0], ["bad", model.failed || 0]];
  const rest = Math.max(0, (model.rows || 0) - (model.ok || 0) - (model.failed || 0));
  const spent = site.costs.filter((cost) => cost.model === model.name);
  const sum = (name) => spent.reduce((total, cost) => total + cost[name], 0);
  const tight = (model.budgets || []).map((each) => usd(each.spent) + " of " + usd(each.limit) + " for " + each.scope).join(", ");
  return [
    model.exists || model.rows !== undefined ? link(path("model", model.name), model.name) : model.name,
    model.state ? pill(model.state) : el("span", { class: "dull" }, model.kind),
    model.llm || "",
    model.rows === undefined ? "" : number(model.rows),
    model.rows === undefined ? "" : [number(model.ok), model.stale ? el("span", { class: "dull" }, " (" + number(model.stale) + " stale)") : null],
    model.failed ? link(path("failures", model.name), number(model.failed)) : model.rows === undefined ? "" : "0",
    model.rows ? [meter([...parts, ["empty", rest]], percent((model.ok || 0) / model.rows) + " of the rows are ok"),
      el("span", { class: "dull" }, percent((model.ok || 0) / model.rows))] : "",
    model.rows === undefined ? "" : [usd(sum("cost")), sum("reserved") ? el("span", { class: "dull" }, " + " + usd(sum("reserved")) + " reserved") : null,
      tight ? el("div", { class: "dull" }, tight) : null],
  ];
}

function showUnderWay() {
  const busy = site.models.filter((model) => model.busy);
  if (!busy.length) return null;
  return el("section", { class: "card" }, el("h2", {}, "Under way"),
    busy.map((model) => el("div", { class: "progress" }, el("strong", {}, model.name), " ",
      el("progress", { max: model.asked || 1, value: model.answered || 0, "aria-label": model.name }), " ",
      number(model.answered) + " of " + number(model.asked) + " requests answered")));
}

function showTroubles() {
  return site.models.flatMap((model) => {
    const said = [
      model.stopped && model.name + " is stopped: " + model.stopped,
      (model.heldBack || []).length && model.name + " is held back by " + model.heldBack.join(", "),
      model.failure && model.name + " failed: " + model.failure,
      model.hint,
    ].filter(Boolean);
    return said.map((text) => el("p", { class: "trouble" }, text));
  }).concat(Object.values(site.broken || {}).map((text) => el("p", { class: "trouble" }, text)));
}

function showPlots() {
  const cards = [];
  const add = (title, ...children) => cards.push(el("section", { class: "card" }, el("h2", {}, title), ...children));
  const days = [...new Set(site.costs.map((cost) => cost.day))].slice(-31);
  const spenders = [...new Set(site.costs.map((cost) => cost.model))];
  if (site.costs.some((cost) => cost.cost || cost.reserved))
    add("Cost by day", plotStacks("Cost in USD by day and model", spenders, days.map((each) => [each.slice(5), spenders.map((name) =>
      site.costs.filter((cost) => cost.day === each && cost.model === name).reduce((sum, cost) => sum + cost.cost + cost.reserved, 0))]), usd));
  else if (site.costs.length)
    add("Tokens by day", plotStacks("Tokens by day and model", spenders, days.map((each) => [each.slice(5), spenders.map((name) =>
      site.costs.filter((cost) => cost.day === each && cost.model === name)
        .reduce((sum, cost) => sum + cost.input_tokens + cost.output_tokens, 0))]), number));
  for (const model of site.models) {
    const outcomes = Object.entries(model.outcomes || {});
    if (outcomes.length > 1) add("Outcomes of " + model.name, plotBars("Rows by outcome", outcomes, ["rows"]));
    for (const { column, counts } of model.labels || []) {
      const changed = counts.some(([, , before]) => before);
      add(model.name + ": " + column, plotBars("Rows by label", counts, changed ? ["now", "before the last run"] : ["now"]));
    }
    const scored = (model.evaluations || []).filter((row) => row.average !== "micro");
    for (const pair of new Set(scored.map((row) => JSON.stringify([row.labels, row.column])))) {
      const [labels, column] = JSON.parse(pair);
      const rows = scored.filter((row) => row.labels === labels && row.column === column && mainFigure(row)[1] !== null);
      if (!rows.length) continue;
      const figure = mainFigure(rows[0])[0] === "f1" ? "F1 (macro)" : mainFigure(rows[0])[0];
      add(model.name + ": " + column + " against " + labels + ", by prompt version",
        plotBars(figure + " by version of the prompt", rows.map((row) => [row.prompt + " " + row.llm, mainFigure(row)[1], null]), [figure], (value) => value.toFixed(3)));
    }
    for (const { column, labels, cells } of model.confusions || [])
      if (cells.length) add(model.name + ": " + column + " against " + labels, matrix(cells));
    const reviews = describeReviews(model);
    if (reviews) add(model.name + ": reviews", reviews);
  }
  return el("div", { class: "cards" }, cards);
}

function showOverview() {
  return [
    showTroubles(),
    showUnderWay(),
    el("section", {}, el("h1", {}, site.project || "Overview"),
      site.models.length ? facts(["model", "state", "llm", "rows", "ok", "not ok", "coverage", "spent"], site.models.map(showModelLine), [3, 4, 5])
        : el("p", {}, "There are no models yet. Create one: ", el("code", {}, "enrich init"))),
    showPlots(),
  ];
}
