// Compare: the answers of two versions or llms side by side.

async function showCompare(name, given) {
  const model = findModel(name);
  const versions = (model.prompts || []).filter((each) => each.ok);
  if (versions.length < 2)
    return [el("h1", {}, name), modelTabs(name, "compare"), el("p", {}, "There is only one version with answers. Try another prompt or llm on a sample:"), command("enrich compare " + name)];
  const now = given.now || versions.at(-1).prompt, was = given.was || versions.filter((each) => each.prompt !== now).at(-1).prompt;
  const state = { offset: Number(given.offset || 0), limit: 100, differing: given.differing === "true" };
  const options = versions.map((each) => [each.prompt, describeVersion(each)]);
  const move = (values) => go(path("compare", name) + "?" + new URLSearchParams({ was, now, differing: String(state.differing), ...values }));
  const page = was === now ? null : await source.page({ model: name, was, now, offset: state.offset, limit: state.limit, differing: String(state.differing) });
  const key = (row) => link(path("row", name, row.n), row.key.join(", "));
  return [
    el("h1", {}, name), modelTabs(name, "compare"),
    el("div", { class: "filters" }, choose("Was", options, was, (value) => move({ was: value })), choose("now", options, now, (value) => move({ now: value })),
      el("label", {}, el("input", { type: "checkbox", checked: state.differing, onchange: (event) => move({ differing: String(event.target.checked) }) }), " only rows that differ")),
    page === null ? el("p", {}, "Choose two different versions.") : page.both === 0 ? [el("p", {}, "No row has an answer of both. Ask a sample:"), command("enrich compare " + name)] : [
      facts(["column", "agreement", "rows that differ"], page.agreement.map((each) => [each.column, [meter([["good", each.share], ["bad", 1 - each.share]], percent(each.share)), " ", percent(each.share)], number(each.changed)]), [2]),
      el("p", { class: "dull" }, counted(page.both, "row") + (page.both === 1 ? " has" : " have") + " an answer of both."),
      showPager(state, page.total, (offset) => move({ offset: String(offset) })),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Answers side by side" }, el("table", { class: "rows" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "row"), page.columns.map((column) => [el("th", { scope: "col" }, column + ", was"), el("th", { scope: "col" }, column + ", now")]))),
        el("tbody", {}, page.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, key(row)), page.columns.map((_, at) => {
          const kind = row.differs[at] ? "changed" : null;
          const cell = (value) => (value === null ? el("span", { class: "null" }, "NULL") : el("div", { class: "cut" }, value));
          return [el("td", { class: kind }, cell(row.was[at])), el("td", { class: kind }, row.differs[at] ? el("span", { class: "mark" }, "≠ ") : null, cell(row.now[at]))];
        })))))),
    ],
  ];
}
