"use strict";
// The trellis is drawn once for a width; a step of a search moves discs, a path and marks. Words are only ever text.

const D = JSON.parse(document.getElementById("data").textContent);
const n = D.words.length, R = D.rows.length, others = D.tagset.length - R, rows = R + (others > 0);
const place = new Map(D.rows.map((tag, r) => [tag, r]));
const rowOf = tag => place.has(tag) ? place.get(tag) : R;
const nameOf = r => r < R ? D.tagset[D.rows[r]] : `${others} others`;
const ROW = rows > 18 ? 27 : 34, RADIUS = ROW / 2 - 2.5, TOP = 34, STRIP = 24;
const FRAMES = { milliseconds: 220 };
const state = { search: 1, iteration: 0, timer: null, node: [0, 0] };
const drawn = {};
const get = id => document.getElementById(id);
const search = () => D.searches[state.search - 1];

function make(parent, name, attributes = {}, text) {
  const svg = parent.namespaceURI === "http://www.w3.org/2000/svg" || name === "svg";
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const number = (x, digits = 3) => x === null ? "impossible" : x.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
const probability = p => p >= 0.9995 ? "1.000" : p < 0.0005 ? "0.000" : p.toFixed(3);
const radius = p => (RADIUS * Math.sqrt(p)).toFixed(2);
const relaxed = (i, r) => search() ? search().relaxed[state.iteration][i][r] / 1e4 : 0;
const unlike = (path, other) => path.filter((tag, i) => other[i] !== tag).length;

const context = document.createElement("canvas").getContext("2d");
function fit(text, width, font) {
  context.font = font;
  if (context.measureText(text).width <= width) return text;
  const letters = [...text];
  while (letters.length > 1 && context.measureText(letters.join("") + "…").width > width) letters.pop();
  return letters.join("") + "…";
}
const WORD = "600 14px system-ui, sans-serif", TAG = "13px ui-monospace, monospace";
const widthOf = (text, font) => { context.font = font; return context.measureText(text).width; };

// The trellis

function columns(room) {
  const widths = D.words.map(word => Math.min(150, Math.max(room < 500 ? 46 : 58, widthOf(word, WORD) + 14)));
  const spare = (room - widths.reduce((a, b) => a + b)) / n;
  if (spare > 0) widths.forEach((width, i) => { widths[i] = width + Math.min(spare, Math.max(0, 150 - width)); });
  let edge = 0;
  return { widths, centres: widths.map(width => (edge += width) - width / 2), total: edge };
}

const y = r => TOP + ROW * (r + 0.5);
const strips = () => ["Viterbi", ...(D.searches.length ? ["search"] : []), ...(D.gold ? ["gold"] : [])];
const stripY = s => TOP + ROW * rows + 12 + STRIP * (s + 0.5);

function drawTrellis() {
  const holder = get("trellis"), scroll = get("scroll"), names = [...Array(rows).keys()].map(nameOf);
  holder.querySelector(":scope > svg")?.remove();
  scroll.replaceChildren();
  const left = Math.min(110, Math.max(62, ...names.map(name => widthOf(name, TAG) + 20)));
  const height = stripY(strips().length) - STRIP / 2 + 4;
  const labels = make(holder, "svg", { width: left, height, "aria-hidden": "true" });
  holder.prepend(labels);
  names.forEach((name, r) => {
    const label = make(labels, "text", { x: left - 8, y: y(r) + 5, "text-anchor": "end", class: r < R ? "tag" : "dim italic" },
      fit(name, left - 14, TAG));
    make(label, "title", {}, name);
  });
  strips().forEach((name, s) => make(labels, "text", { x: left - 8, y: stripY(s) + 4, "text-anchor": "end", class: "dim" }, name));
  const { widths, centres, total } = columns(holder.clientWidth - left - 4);
  const svg = make(scroll, "svg", { width: total, height, role: "group", "aria-label":
    `Trellis of ${n} words and ${rows} rows of tags; the arrow keys go from node to node` });
  for (let r = 0; r < rows; r += 2) make(svg, "rect", { x: 0, y: TOP + ROW * r, width: total, height: ROW, class: "band" });
  make(svg, "line", { x1: 0, x2: total, y1: stripY(0) - STRIP / 2, y2: stripY(0) - STRIP / 2, class: "rule" });
  D.words.forEach((word, i) => {
    const label = make(svg, "text", { x: centres[i], y: 21, "text-anchor": "middle", class: "word" }, fit(word, widths[i] - 8, WORD));
    make(label, "title", {}, word);
  });
  for (const [i, s, t, p] of D.edges) make(svg, "line", { class: "edge", x1: centres[i], y1: y(s), x2: centres[i + 1], y2: y(t),
    "stroke-width": (0.6 + 2.4 * p).toFixed(2), "stroke-opacity": (0.1 + 0.7 * Math.sqrt(p)).toFixed(3) });
  const line = path => path.map((tag, i) => `${centres[i]},${y(rowOf(tag))}`).join(" ");
  make(svg, "polyline", { class: "best", points: line(D.viterbi.path) });
  const path = make(svg, "polyline", { class: "path" });
  drawn.path = () => path.setAttribute("points", search() ? line(search().paths[state.iteration]) : "");
  drawn.discs = [], drawn.nodes = [];
  D.words.forEach((word, i) => {
    drawn.discs.push([]), drawn.nodes.push([]);
    for (let r = 0; r < rows; r++) drawNode(svg, i, r, centres[i], widths[i]);
  });
  drawn.cells = strips().map((_, s) => centres.map((x, i) =>
    make(svg, "text", { x, y: stripY(s) + 4, "text-anchor": "middle", class: "tag" })));
  drawn.widths = widths;
}

function drawNode(svg, i, r, x, width) {
  const p = D.marginals[i][r], at = { cx: x, cy: y(r) };
  const node = make(svg, "g", { class: "node", role: "img", tabindex: -1 });
  if (p >= 0.002) make(node, "circle", { ...at, r: radius(p), class: "marginal" });
  else make(node, "circle", { ...at, r: 1.6, class: "dot" });
  drawn.discs[i].push(make(node, "circle", { ...at, r: 0, class: "relaxed" }));
  if (p >= 0.002) make(node, "circle", { ...at, r: radius(p), class: "ring" });
  const side = 2 * RADIUS + 4;
  if (D.gold && D.gold[i] !== null && r < R && D.gold[i] === nameOf(r))
    make(node, "rect", { x: x - side / 2, y: y(r) - side / 2, width: side, height: side, rx: 3, class: "gold" });
  make(node, "rect", { x: x - side / 2, y: y(r) - side / 2, width: side, height: side, rx: 3, class: "focus" });
  make(node, "rect", { x: x - width / 2, y: y(r) - ROW / 2, width, height: ROW, class: "hit" });
  node.addEventListener("pointerenter", () => showTip(i, r));
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", () => { state.node = [i, r]; node.setAttribute("aria-label", told(i, r)); showTip(i, r); });
  node.addEventListener("blur", hideTip);
  node.addEventListener("keydown", event => walk(event, i, r));
  node.setAttribute("aria-label", told(i, r));
  drawn.nodes[i].push(node);
}

function walk(event, i, r) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Escape") hideTip();
  if (!step) return;
  event.preventDefault(), event.stopPropagation();
  const node = drawn.nodes[i + step[0]]?.[r + step[1]];
  if (!node) return;
  drawn.nodes[i][r].setAttribute("tabindex", -1);
  node.setAttribute("tabindex", 0), node.focus();
}

function told(i, r) {
  const lines = [`${D.words[i]}  ·  ${nameOf(r)}`, `posterior ${probability(D.marginals[i][r])}`];
  if (search()) lines.push(`relaxed ${probability(relaxed(i, r))} at iteration ${state.iteration}`);
  const on = [];
  if (rowOf(D.viterbi.path[i]) === r) on.push("Viterbi path");
  if (search() && rowOf(search().paths[state.iteration][i]) === r) on.push("its path" + (r === R ? ` (${D.tagset[search().paths[state.iteration][i]]})` : ""));
  if (D.gold && r < R && D.gold[i] === nameOf(r)) on.push("gold");
  return on.length ? [...lines, `on: ${on.join(", ")}`].join("\n") : lines.join("\n");
}

function showTip(i, r) {
  const tip = get("tip"), box = drawn.nodes[i][r].lastChild.getBoundingClientRect();
  drawn.tip = [i, r], tip.textContent = told(i, r), tip.hidden = false;
  const width = tip.offsetWidth, middle = box.left + box.width / 2 - width / 2;
  tip.style.left = `${scrollX + Math.max(4, Math.min(document.documentElement.clientWidth - width - 4, middle))}px`;
  const above = box.top - tip.offsetHeight - 4;
  tip.style.top = `${scrollY + (above > 4 ? above : box.bottom + 4)}px`;
}

function hideTip() { get("tip").hidden = true, drawn.tip = null; }

// The energies: asinh shows a thousand nats and a hundredth of one; 0 is Viterbi's

const UNIT = 0.05, scale = gap => Math.asinh(Math.max(0, gap) / UNIT);

function drawCurve() {
  const holder = get("curve"), width = holder.clientWidth, height = 230, left = 52, right = 10, top = 10, bottom = 34;
  holder.replaceChildren();
  if (!D.searches.length) return;
  const svg = make(holder, "svg", { width, height, role: "img", "aria-label": "Relaxed and discrete energy at each iteration" });
  const gaps = D.searches.map(({ relaxed_energies, energies }) =>
    [relaxed_energies, energies].map(curve => curve.map(energy => energy === null ? null : energy - D.viterbi.energy)));
  const most = Math.max(0.1, ...gaps.flat(2).filter(gap => gap !== null));
  const steps = Math.max(...D.searches.map(({ paths }) => paths.length)) - 1;
  const atX = t => left + (width - left - right) * t / steps;
  const atY = gap => height - bottom - (height - top - bottom) * scale(gap) / scale(most);
  for (const tick of [0, 0.1, 1, 10, 100, 1000, 10000].filter(tick => tick <= most)) {
    make(svg, "line", { x1: left, x2: width - right, y1: atY(tick), y2: atY(tick), class: tick ? "rule" : "floor", opacity: tick ? 0.5 : 1 });
    make(svg, "text", { x: left - 6, y: atY(tick) + 4, "text-anchor": "end", class: "dim" }, tick ? `+${tick}` : "Viterbi");
  }
  const spacing = [1, 2, 5, 10, 20, 50, 100, 200, 500].find(step => steps / step <= width / 60) || 1000;
  for (let t = 0; t <= steps; t += spacing) make(svg, "text", { x: atX(t), y: height - bottom + 17, "text-anchor": "middle", class: "dim" }, t);
  make(svg, "text", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle", class: "dim" }, "iteration");
  const shape = curve => curve.map((gap, t) => gap === null ? "" : `${t && curve[t - 1] !== null ? "L" : "M"}${atX(t).toFixed(1)} ${atY(gap).toFixed(1)}`).join("");
  gaps.forEach((curves, s) => s !== state.search - 1 && make(svg, "path", { d: shape(curves[0]), class: "curve other" }));
  drawn.marks = () => {};
  const index = state.search - 1;
  if (index < 0) return;
  gaps[index].forEach((curve, c) => make(svg, "path", { d: shape(curve), class: c ? "curve discrete" : "curve" }));
  const line = make(svg, "line", { y1: top, y2: height - bottom, class: "now" });
  const marks = gaps[index].map((_, c) => make(svg, "circle", { r: 4.5, class: c ? "at discrete" : "at" }));
  drawn.marks = () => {
    line.setAttribute("x1", atX(state.iteration)), line.setAttribute("x2", atX(state.iteration));
    marks.forEach((mark, c) => {
      const gap = gaps[index][c][state.iteration];
      mark.setAttribute("visibility", gap === null ? "hidden" : "visible");
      mark.setAttribute("cx", atX(state.iteration)), mark.setAttribute("cy", atY(gap ?? 0));
    });
  };
  drawn.iterationAt = x => Math.round((x - left) / (width - left - right) * steps);
}

// What a step changes

function update() {
  const now = search(), t = state.iteration;
  drawn.path(), drawn.marks();
  drawn.discs.forEach((column, i) => column.forEach((disc, r) => disc.style.setProperty("r", `${radius(relaxed(i, r))}px`)));
  const paths = { Viterbi: D.viterbi.path.map(tag => D.tagset[tag]), search: now && now.paths[t].map(tag => D.tagset[tag]), gold: D.gold };
  strips().forEach((name, s) => drawn.cells[s].forEach((cell, i) => {
    const tag = paths[name] ? paths[name][i] : null;
    cell.textContent = tag === null ? "" : fit(tag, drawn.widths[i] - 4, TAG);
    cell.classList.toggle("unlike", name === "search" && tag !== null && tag !== paths.Viterbi[i]);
  }));
  get("iteration").value = t, get("iteration").disabled = get("play").disabled = !now;
  get("iteration").setAttribute("aria-valuetext", now ? `iteration ${t} of ${now.paths.length - 1}` : "no search");
  get("count").textContent = now ? `${t} of ${now.paths.length - 1}` : "";
  writeNumbers(now, t, paths);
  if (drawn.tip) showTip(...drawn.tip);
  if (!state.timer) {
    get("spoken").textContent = now ? `Iteration ${t}: ${unlike(now.paths[t], D.viterbi.path)} tags unlike Viterbi's.` : "";
    history.replaceState(null, "", `#search=${state.search}&iteration=${t}`);
  }
}

function writeNumbers(now, t, paths) {
  const list = get("numbers"), gold = D.gold && D.gold.filter(tag => tag !== null).length;
  const wrong = path => path.filter((tag, i) => D.gold[i] !== null && D.gold[i] !== tag).length;
  list.replaceChildren();
  const entry = (name, value, strong) => { make(list, "dt", {}, name); make(list, "dd", strong ? { class: "strong" } : {}, value); };
  get("here").textContent = now ? `${now.name}, iteration ${t}` : "The model alone";
  if (now) {
    const lowest = Math.min(...now.energies.slice(0, t + 1).map(energy => energy ?? Infinity));
    entry("energy of the relaxed tagging", number(now.relaxed_energies[t]));
    entry("energy of its tags", number(now.energies[t]));
    entry("lowest of its tags so far, returned", lowest < Infinity ? number(lowest) : "impossible", true);
  }
  entry("energy of the Viterbi path", number(D.viterbi.energy));
  entry("−log Z, all taggings together", number(-D.log_partition));
  entry("probability of the Viterbi path", D.viterbi.probability < 5e-4 ? D.viterbi.probability.toExponential(1) : probability(D.viterbi.probability));
  if (now) entry("tags unlike Viterbi’s", `${unlike(now.paths[t], D.viterbi.path)} of ${n}`);
  tellUnlike(now ? now.paths[t].flatMap((tag, i) => tag === D.viterbi.path[i] ? [] : [i]) : []);
  if (gold) {
    if (now) entry("tags unlike gold", `${wrong(paths.search)} of ${gold}`);
    entry("Viterbi’s unlike gold", `${wrong(paths.Viterbi)} of ${gold}`);
  }
}

function tellUnlike(places) {
  const line = get("unlike");
  line.textContent = places.length ? "Unlike Viterbi’s: " : "";
  places.slice(0, 12).forEach(i => make(line, "button", { type: "button" }, D.words[i]).addEventListener("click", () =>
    drawn.nodes[i][0].scrollIntoView({ inline: "center", block: "nearest" })));
  if (places.length > 12) line.append(` and ${places.length - 12} more`);
}

// Controls

function choose(index) {
  stop(), state.search = index;
  const now = search();
  if (now) state.iteration = Math.min(state.iteration, now.paths.length - 1), get("iteration").max = now.paths.length - 1;
  get("choice").querySelectorAll("input").forEach(input => { input.checked = +input.value === index; });
  get("what").textContent = now ? now.what : "The posterior and the best tagging; no search.";
  drawCurve(), update();
}

function go(t) { if (search()) state.iteration = Math.max(0, Math.min(search().paths.length - 1, t)), update(); }

const ICONS = { Play: "M3 1 L15 8 L3 15 z", Pause: "M3 1 H6.5 V15 H3 z M9.5 1 H13 V15 H9.5 z" };
function playing(name) {
  const button = get("play");
  button.setAttribute("aria-label", name), button.title = name;
  button.replaceChildren();
  make(make(button, "svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }), "path", { d: ICONS[name] });
}
function stop() { clearInterval(state.timer), state.timer = null, playing("Play"); }
function play() {
  if (state.timer) { stop(), update(); return; }
  if (!search()) return;
  const last = search().paths.length - 1;
  if (state.iteration === last) go(0);
  state.timer = setInterval(() => { if (state.iteration + 1 >= last) stop(); go(state.iteration + 1); }, FRAMES.milliseconds);
  playing("Pause");
}

function prepare() {
  ["The model alone", ...D.searches.map(({ name }) => name)].forEach((name, value) => {
    const label = make(get("choice"), "label");
    make(label, "input", { type: "radio", name: "search", value }).addEventListener("change", () => choose(value));
    label.append(name);
  });
  get("controls").addEventListener("submit", event => event.preventDefault());
  get("iteration").addEventListener("input", event => { stop(), go(+event.target.value); });
  get("play").addEventListener("click", play);
  document.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, button, .node")) return;
    const step = { ArrowLeft: state.iteration - 1, ArrowRight: state.iteration + 1, Home: 0, End: Infinity }[event.key];
    if (step === undefined && event.key !== " ") return;
    event.preventDefault();
    if (event.key === " ") play(); else stop(), go(step);
  });
  const seek = event => { if (event.buttons && drawn.iterationAt) stop(), go(drawn.iterationAt(event.clientX - get("curve").getBoundingClientRect().left)); };
  get("curve").addEventListener("pointerdown", seek), get("curve").addEventListener("pointermove", seek);
  const sample = (text, ...shapes) => {
    const svg = make(make(get("key"), "li"), "svg", { viewBox: "0 0 34 20", "aria-hidden": "true" });
    shapes.forEach(([name, attributes]) => make(svg, name, attributes));
    svg.parentNode.append(text);
  };
  const circle = (r, kind) => ["circle", { cx: 17, cy: 10, r, class: kind }], line = { x1: 1, x2: 33, y1: 10, y2: 10 };
  sample("posterior (area)", circle(8, "marginal"), circle(8, "ring"));
  sample("relaxed tagging (area)", circle(6, "relaxed"));
  sample("both alike", circle(8, "relaxed"), circle(8, "ring"));
  sample("Viterbi path", ["line", { ...line, class: "best" }]);
  sample("tags of the search", ["line", { ...line, class: "path" }]);
  sample(`pair of tags, posterior ${D.threshold} or more`, ["line", { ...line, class: "edge", "stroke-width": 2, "stroke-opacity": 0.5 }]);
  if (D.gold) sample("gold tag", ["rect", { x: 8, y: 1, width: 18, height: 18, rx: 3, class: "gold" }]);
  get("rows").textContent = [
    others > 0 ? `${R} of ${D.tagset.length} tags have a row; the other ${others} are hidden, added up in the last one.` : "",
    D.forbidden ? "What the model forbids counts as 10,000 nats in relaxed energies." : "",
    D.network ? "" : "No inference network lies beside the model; --network cnn trains one, for two more searches.",
  ].join(" ").trim();
  get("curves").textContent = "Solid: the relaxed tagging; dashed: its tags; grey: the other searches. A click goes to an iteration.";
}

function whole() { drawTrellis(), drawn.nodes[state.node[0]][state.node[1]].setAttribute("tabindex", 0), drawCurve(), update(); }

function follow() {
  const asked = new URLSearchParams(location.hash.slice(1)), index = +asked.get("search"), t = +asked.get("iteration");
  if (asked.has("search") && index in [0, ...D.searches]) state.search = index;
  if (Number.isInteger(t)) state.iteration = Math.max(0, t);
  choose(state.search);
}

prepare(), playing("Play"), drawTrellis(), follow(), whole();
addEventListener("hashchange", follow);
let last = innerWidth;
addEventListener("resize", () => { if (innerWidth !== last) last = innerWidth, hideTip(), whole(); });
