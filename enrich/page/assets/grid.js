// Grid: the rows of a model, searched, filtered, sorted and paged.

function modelTabs(name, here) {
  const model = findModel(name) || {};
  const tabs = [["model", "Rows"]];
  if ((model.prompts || []).length) tabs.push(["prompts", "Prompts"]);
  if (model.rows !== undefined) tabs.push(["failures", "Failures"]);
  if ((model.prompts || []).filter((each) => each.answers).length > 1) tabs.push(["compare", "Compare"]);
  if (source.live && model.rows !== undefined) tabs.push(["review", "Review"]);
  if (tabs.length === 1) return null;
  return el("nav", { class: "tabs", "aria-label": "About " + name }, tabs.map(([route, label]) =>
    el("a", { href: "#" + path(route, name), "aria-current": route === here ? "page" : null }, label)));
}

async function showGrid(name, given) {
  const state = { offset: Number(given.offset || 0), limit: Number(given.limit || 100), sort: given.sort || "",
    descending: given.descending === "true", search: given.search || "", outcome: given.outcome || "",
    column: given.column || "", label: given.label || "", prompt: given.prompt || "" };
  const model = findModel(name) || { prompts: [] };
  const holder = el("div", {}), pager = el("div", {}), filters = el("div", { class: "filters" }), note = el("p", { class: "dull" });
  let asked = 0;

  const words = () => Object.fromEntries(Object.entries({ model: name, ...state }).filter(([, value]) => value !== "" && value !== false).map(([key, value]) => [key, String(value)]));
  function remember() {
    const { model: _, ...rest } = words();
    if (rest.offset === "0") delete rest.offset;
    if (rest.limit === "100") delete rest.limit;
    const query = new URLSearchParams(rest).toString();
    if (!site.solo) history.replaceState(null, "", "#" + path("model", name) + (query ? "?" + query : ""));
  }
  function change(values) { Object.assign(state, { offset: 0 }, values); remember(); return draw(); }

  async function draw() {
    const mine = ++asked;
    holder.setAttribute("aria-busy", "true");
    let page;
    try { page = await source.page(words()); }
    catch (problem) { if (problem.superseded || mine !== asked) return; throw problem; }
    if (mine !== asked) return;
    const sorting = { by: state.sort, descending: state.descending, sort: (place) =>
      change(state.sort === place ? (state.descending ? { sort: "", descending: false } : { descending: true }) : { sort: place, descending: false }) };
    const focused = document.activeElement && document.activeElement.closest && document.activeElement.closest("th.input, th.output, th.key, th.about") ? document.activeElement.textContent.replace(/ [↑↓]$/, "") : "";
    holder.replaceChildren(page.rows.length ? showRows(site.solo === "rows" ? null : name, page, sorting) : el("p", {}, "No row matches."));
    if (focused) for (const head of holder.querySelectorAll("th button")) if (head.textContent.replace(/ [↑↓]$/, "") === focused) head.focus();
    holder.removeAttribute("aria-busy");
    const go = (offset) => { state.offset = offset; remember(); draw().then(() => holder.scrollIntoView({ block: "start" })); };
    pager.replaceChildren(showPager(state, page.total, go));
    note.textContent = clean(page.trouble ? "The inputs cannot be read: " + page.trouble : "");
    if (!filters.childElementCount) filters.append(...showFilters(page));
    if (page.total === null)
      source.page({ ...words(), count: "true" }).then((counted) => { if (mine === asked) pager.replaceChildren(showPager(state, counted.total, go)); }, () => {});
  }

  function showFilters(page) {
    let timer = 0;
    const found = [el("label", {}, "Search ", el("input", { type: "search", value: state.search, "aria-label": "Search in all columns", oninput: (event) => {
      clearTimeout(timer);
      const value = event.target.value;
      timer = setTimeout(() => change({ search: value }), 150);
    } }))];
    const outcomes = Object.keys(model.outcomes || {});
    if (outcomes.length) found.push(choose("Outcome", [["", "all"], ["not ok", "not ok"], ...outcomes.map((word) => [word, word])], state.outcome, (outcome) => change({ outcome })));
    const labeled = page.columns.filter((column) => column.labels && column.labels.length);
    if (labeled.length) found.push(choose("Label", [["", "all"], ...labeled.flatMap((column) => column.labels.map((label) => [column.place + "=" + label, (labeled.length > 1 ? column.name + ": " : "") + label]))],
      state.column ? state.column + "=" + state.label : "", (value) => { const cut = value.indexOf("="); return change(value ? { column: value.slice(0, cut), label: value.slice(cut + 1) } : { column: "", label: "" }); }));
    const versions = (model.prompts || []).filter((each) => each.answers);
    if (versions.length > 1) found.push(choose("Version", [["", "all"], ...versions.map((each) => [each.prompt, day(each.created_at) + " " + each.llm + " " + each.prompt])], state.prompt, (prompt) => change({ prompt })));
    found.push(choose("Rows a page", [25, 100, 500].map((many) => [String(many), String(many)]), String(state.limit), (limit) => change({ limit: Number(limit) })));
    return found;
  }
  current.redraw = draw;
  await draw();
  return [site.solo ? null : el("h1", {}, name), model.description ? el("p", {}, model.description) : null, site.solo ? null : modelTabs(name, "model"),
    note, filters, pager, holder];
}
