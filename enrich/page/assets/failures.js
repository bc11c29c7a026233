// Failures: the rows that are not ok, by reason, each with the one command that helps.

function showFailures(name) {
  const model = findModel(name), groups = model.failures || [];
  return [
    el("h1", {}, name), modelTabs(name, "failures"),
    groups.length ? null : el("p", {}, model.pending ? "No row has failed so far." : "Every row is ok."),
    groups.map((group) => el("section", { class: "card" },
      el("h2", {}, number(group.rows) + (group.rows === 1 ? " row: " : " rows: "), pill(group.outcome)),
      group.error ? el("p", { class: "reason" }, group.error) : null,
      el("p", {}, group.remedy), group.command ? command(group.command) : null,
      el("p", {}, link(path("model", name) + "?" + new URLSearchParams({ outcome: group.outcome }), "Show these rows")))),
  ];
}
