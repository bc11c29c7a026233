// Building blocks. Text enters the page only as text: nothing here takes HTML.

const SVG = "http://www.w3.org/2000/svg";

// Controls and marks that reverse the direction of text, shown instead of obeyed ("Trojan Source").
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const clean = (text) =>
  String(text).replace(CONTROLS, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

// el("a", {href: "#/"}, "text", child ...): null and false children are left out.
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(clean(child)));
  }
  return element;
}
const el = (name, attributes, ...children) =>
  build(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  build(document.createElementNS(SVG, name), attributes, children);

const number = (value) => (value === null || value === undefined ? "" : Number(value).toLocaleString("en"));

/* How many there are of something, in words. */
const counted = (many, noun) => number(many) + " " + noun + (many === 1 ? "" : "s");
const percent = (share) =>
  share === null || share === undefined ? "" : (100 * share).toFixed(share > 0.995 && share < 1 ? 2 : 1) + " %";
const usd = (value) => {
  if (value === null || value === undefined) return "";
  if (value === 0) return "$0.00";
  return "$" + (Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(2));
};
const when = (iso) => (iso ? iso.replace("T", " ").replace(/(:\d\d)(\.\d+)?Z?$/, "$1") : "");
const day = (iso) => (iso ? iso.slice(0, 10) : "");

// Only these addresses are followed; anything else is shown as text.
const isLink = (text) => /^https?:\/\/[^\s"'<>\\]+$/i.test(text);
const isPicture = (address) =>
  /^(https?:\/\/|\/picture\?|data:image\/(png|jpeg|webp|gif);base64,)/i.test(address);

const link = (to, ...children) => el("a", { href: "#" + to }, ...children);
const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

function picture(address, what, large) {
  if (!address) return null;
  // The export opens without any request, so it links what is not inside of it.
  if (!source.live && !address.startsWith("data:"))
    return isLink(address) ? el("a", { href: address, rel: "noreferrer", target: "_blank" }, "picture") : null;
  if (!isPicture(address)) return el("span", { class: "dull" }, "no picture: " + address.slice(0, 60));
  return el("img", {
    src: address, alt: what, loading: "lazy", decoding: "async", referrerpolicy: "no-referrer",
    class: large ? "large" : "thumb",
    onerror: (event) => event.target.replaceWith(el("span", { class: "dull" }, "picture not found")),
  });
}

const button = (label, action, more) => el("button", { type: "button", onclick: action, ...more }, label);

function choose(label, values, chosen, action) {
  const box = el("select", { onchange: (event) => action(event.target.value) },
    values.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", {}, label + " ", box);
}

const pill = (word) =>
  el("span", { class: "pill " + ({ ok: "good", published: "good", pending: "dull", new: "dull", "not run": "dull",
    running: "busy", waiting: "busy" }[word] || "bad") }, word);

function command(text) {
  const said = el("code", {}, text);
  return el("div", { class: "command" }, said,
    button("Copy", async (event) => {
      const old = event.target.textContent;
      try { await navigator.clipboard.writeText(text); event.target.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(said); event.target.textContent = "Press Ctrl-C"; }
      setTimeout(() => { event.target.textContent = old; }, 2000);
    }, { "aria-label": "Copy the command " + text }));
}

// A diff of two texts by lines: [["same" | "added" | "gone", line] ...], by longest common subsequence.
function diffLines(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end);
  const long = Array.from({ length: x.length + 1 }, () => new Uint16Array(y.length + 1));
  for (let i = x.length - 1; i >= 0; i--)
    for (let j = y.length - 1; j >= 0; j--)
      long[i][j] = x[i] === y[j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
  const found = a.slice(0, start).map((line) => ["same", line]);
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { found.push(["same", x[i]]); i++; j++; }
    else if (j >= y.length || (i < x.length && long[i + 1][j] >= long[i][j + 1])) found.push(["gone", x[i++]]);
    else found.push(["added", y[j++]]);
  }
  return found.concat(a.slice(a.length - end).map((line) => ["same", line]));
}

function showDiff(before, after) {
  const marks = { same: " ", added: "+", gone: "−" };
  return el("pre", { class: "diff" }, diffLines(before, after).map(([kind, line]) =>
    el("div", { class: kind }, marks[kind] + " " + line)));
}
