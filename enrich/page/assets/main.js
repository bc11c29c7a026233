// The page: its header, its routes, its keys, and what keeps it up to date.

let site = null;
const current = { drawn: 0, keys: {}, redraw: null };
const main = el("main", { id: "main", tabindex: -1 });
const line = el("span", { role: "status", class: "as-of" });
const header = el("header", {});

const findModel = (name) => site.models.find((model) => model.name === name);
function go(to) { if (location.hash === "#" + to) draw(); else location.hash = to; }

function readRoute() {
  const [where, query] = location.hash.slice(1).split("?");
  const parts = where.split("/").filter(Boolean).map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { name: parts[0] || "", parts: parts.slice(1), words: Object.fromEntries(new URLSearchParams(query || "")) };
}

const ROUTES = {
  "": () => showOverview(),
  graph: ([name]) => showGraph(name),
  model: ([name], words) => showGrid(name, words),
  row: ([name, n]) => { if (!/^\d+$/.test(n || "")) throw { message: "there is no such row", hint: "" }; return showRow(name, Number(n)); },
  prompts: ([name], words) => showPrompts(name, words),
  failures: ([name]) => showFailures(name),
  compare: ([name], words) => showCompare(name, words),
  review: ([name], words) => showReview(name, words),
};

// Without a model, these routes are a list of models to choose from.
function showChoice(route) {
  const title = { prompts: "Prompts", failures: "Failures", compare: "Compare", review: "Review", model: "Rows" }[route];
  const models = site.models.filter((model) => (route === "model" ? model.exists : (model.prompts || []).length));
  return [el("h1", {}, title), models.length ? el("ul", {}, models.map((model) => el("li", {}, link(path(route, model.name), model.name),
    route === "failures" ? " " + counted(model.failed || 0, "row") + " not ok" : route === "compare" ? " " + counted((model.prompts || []).filter((each) => each.ok).length, "version") : ""))) : el("p", {}, "No model has been run yet.")];
}

function showProblem(problem) {
  return el("div", { class: "trouble", role: "alert" }, el("p", {}, problem.message || String(problem)), problem.hint ? el("p", {}, problem.hint) : null);
}

async function draw() {
  const route = readRoute();
  const mine = ++current.drawn;
  current.keys = {};
  current.redraw = null;
  let found;
  try {
    const single = site.models.filter((model) => (model.prompts || []).length);
    const needs = ["model", "prompts", "failures", "compare", "review"].includes(route.name) && !route.parts[0];
    if (site.solo) found = await showGrid(site.solo === "rows" ? "rows" : site.models[0].name, route.name === "row" ? {} : route.words);
    else if (needs && single.length === 1 && route.name !== "model") { location.replace("#" + path(route.name, single[0].name)); return; }
    else if (needs) found = showChoice(route.name);
    else if (["prompts", "failures", "compare", "review"].includes(route.name) && !findModel(route.parts[0])) throw { message: "there is no model '" + route.parts[0] + "'", hint: "" };
    else found = await (ROUTES[route.name] || ROUTES[""])(route.parts, route.words);
    if (site.solo && route.name === "row") found = await showRow(route.parts[0], Number(route.parts[1]));
  } catch (problem) {
    found = showProblem(problem);
  }
  if (mine !== current.drawn) return; // something else has been asked for in the meantime
  main.replaceChildren(...[found].flat(9).filter(Boolean));
  main.dataset.route = location.hash;
  drawHeader(route);
  const title = main.querySelector("h1");
  document.title = (title ? title.textContent + " · " : "") + (site.project || "enrich");
}

function drawHeader(route) {
  if (site.solo) { header.replaceChildren(); return; }
  const places = [["/", "Overview", [""]], ["/model", "Rows", ["model", "row"]], ["/graph", "Graph", ["graph"]], ["/prompts", "Prompts", ["prompts"]], ["/failures", "Failures", ["failures"]], ["/compare", "Compare", ["compare"]],
    ...(source.live ? [["/review", "Review", ["review"]]] : [])];
  header.replaceChildren(el("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
    el("nav", { "aria-label": "Pages" }, places.map(([to, label, names]) => el("a", { href: "#" + to, "aria-current": names.includes(route.name) ? "page" : null }, label))), line);
}

function drawLine() {
  const bounded = (site.bounds || []).join(" ");
  line.textContent = clean([site.problem ? "Not up to date: " + site.problem : site.busy ? "Another program is writing; as of " + when(site.asOf) : "As of " + when(site.asOf) + " UTC", bounded].filter(Boolean).join(". "));
  line.classList.toggle("trouble", Boolean(site.problem));
}

// A page with plots or states is drawn anew when they change; rows only where nobody is typing.
async function follow() {
  try {
    const before = site;
    site = await source.site();
    drawLine();
    if (site.version === before.version && JSON.stringify(site.rowsVersions) === JSON.stringify(before.rowsVersions)) return;
    const route = readRoute().name;
    if (current.redraw) await current.redraw();
    else if (route !== "review" && route !== "row" && !main.contains(document.activeElement)) await draw();
    else if (route === "" || route === "graph" || route === "failures") await draw();
  } catch (problem) {
    line.textContent = clean(problem.message || String(problem));
    line.classList.add("trouble");
  } finally {
    setTimeout(follow, document.hidden ? 10000 : 2000);
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("textarea, select, input:not([type=checkbox])");
  if (typing && event.key === "Escape") { event.target.blur(); return; }
  if (typing && !(event.key === "Enter" && !event.shiftKey && event.target.matches(".single"))) return;
  if (event.key === "Enter" && event.target.matches("a, button")) return;
  // A key that is held down judges one row, not one after the other.
  if (event.repeat && !["j", "k"].includes(event.key)) return;
  const action = current.keys[event.key];
  if (action) { event.preventDefault(); action(); }
});

// In a notebook's frame, an address of the page alone would be resolved against the notebook's.
// And a new tab knows the key only if this one opens it.
function openLink(event) {
  const to = event.target.closest && event.target.closest("a[href^='#/']");
  const anew = event.ctrlKey || event.metaKey || event.button === 1;
  if (!to || (source.live && !anew) || event.button > 1) return;
  event.preventDefault();
  if (anew && source.live) open(to.href);
  else if (!anew) location.hash = to.getAttribute("href");
}
document.addEventListener("click", openLink);
document.addEventListener("auxclick", openLink);

async function start() {
  if (source.live) {
    const given = new URLSearchParams(location.hash.slice(1));
    if (given.has("token")) {
      sessionStorage.setItem("enrich-token", given.get("token"));
      history.replaceState(null, "", "#" + (given.get("to") || "/"));
    }
    source.token = sessionStorage.getItem("enrich-token") || "";
  }
  document.body.append(header, main);
  try { site = await source.site(); }
  catch (problem) { main.replaceChildren(showProblem(problem)); return; }
  document.body.classList.toggle("solo", Boolean(site.solo));
  drawLine();
  await draw();
  addEventListener("hashchange", () => draw().then(() => { if (!document.activeElement || document.activeElement === document.body) main.focus({ preventScroll: true }); scrollTo(0, 0); }));
  if (source.live) setTimeout(follow, 2000);
}

start();
