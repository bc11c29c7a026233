// Prompts: the versions of a model, their figures, and what differs between two of them.

function describeVersion(version) { return day(version.created_at) + " " + version.llm + " " + version.prompt; }

// What a version asks with, besides the text of its prompt.
const settingsOf = (version) => "llm: " + version.llm + "\nparams: " + (version.params || "{}") + "\n";

function scoreOf(model, prompt) {
  const row = (model.evaluations || []).filter((each) => each.prompt === prompt && each.average !== "micro").at(-1);
  if (!row) return "";
  const [name, figure] = mainFigure(row);
  return figure === null ? "" : name + " " + figure.toFixed(3) + " (" + row.column + ")";
}

function showPrompts(name, given) {
  const model = findModel(name), versions = model.prompts || [];
  if (!versions.length) return [el("h1", {}, name), modelTabs(name, "prompts"), el("p", {}, "It has not been run yet.")];
  const find = (id, other) => versions.find((each) => each.prompt === id) || other;
  const now = find(given.now, versions.at(-1)), was = find(given.was, versions.at(-2) || now);
  const options = versions.map((each) => [each.prompt, describeVersion(each)]);
  const move = (values) => go(path("prompts", name) + "?" + new URLSearchParams({ was: was.prompt, now: now.prompt, ...values }));
  return [
    el("h1", {}, name), modelTabs(name, "prompts"),
    facts(["version", "first used", "llm", "answers", "ok", "cost", "evaluation"], versions.map((each) => [
      link(path("prompts", name) + "?now=" + each.prompt, el("code", {}, each.prompt)), when(each.created_at), each.llm, number(each.answers),
      each.answers ? percent(each.ok / each.answers) : "", usd(each.cost), scoreOf(model, each.prompt)]), [3, 4, 5]),
    versions.length > 1 ? el("section", { class: "card" }, el("h2", {}, "What changed"),
      el("div", { class: "filters" }, choose("From", options, was.prompt, (value) => move({ was: value })), choose("to", options, now.prompt, (value) => move({ now: value }))),
      showDiff(settingsOf(was) + was.text, settingsOf(now) + now.text)) : null,
    el("section", { class: "card" }, el("h2", {}, "Version " + now.prompt), el("pre", { class: "text" }, now.text),
      now.query ? [el("h3", {}, "SELECT"), el("pre", { class: "text" }, now.query)] : null,
      now.params && now.params !== "{}" ? [el("h3", {}, "Parameters"), el("pre", { class: "text" }, now.params)] : null),
  ];
}
