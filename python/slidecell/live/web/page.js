"use strict";

// What the run sends once a second, by kind, and what the reader has chosen.
const now = { run: null, events: [], entities: { shown: [], names: [] }, trace: null, drift: null };
const chosen = { entity: null, scale: 0 };
let source = null;
let shownEvents = 20;
let hovered = null; // place of the point under the pointer

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// Texts come from the data: they are only ever set as text.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// Keeps the nodes of items that stay, so that focus and scrolling stay too.
function reconcile(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  items.forEach((item, place) => {
    const name = key(item);
    let node = old.get(name);
    old.delete(name);
    if (!node) {
      node = create(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] || null);
  });
  for (const node of old.values()) node.remove();
}

const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const count = (n) => Math.round(n).toLocaleString("en");
function plural(n, word) { return `${count(n)} ${word}${n === 1 ? "" : "s"}`; }

function figure(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value !== "number") return "infinite";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return String(Number(value.toPrecision(3)).toExponential());
  return String(Number(value.toPrecision(4)));
}

const brief = (value) => Number(value.toPrecision(3)).toLocaleString("en");

function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// Moments are nanoseconds of a date as it stands in the data, or numbers.
function moment(value) {
  if (!now.run || now.run.kind !== "date") return Number(value.toPrecision(12)).toLocaleString("en");
  return new Date(value / 1e6).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, "");
}

// The choice is in the address: a reload keeps it, and it can be passed on.
function readChoice() {
  const found = new URLSearchParams(location.hash.slice(1));
  chosen.entity = found.get("entity");
  chosen.scale = Number(found.get("scale")) || 0;
}

function choose(change) {
  Object.assign(chosen, change);
  const kept = new URLSearchParams();
  if (chosen.entity !== null) kept.set("entity", chosen.entity);
  if (chosen.scale) kept.set("scale", chosen.scale);
  history.replaceState(null, "", `#${kept}`);
  hovered = null;
  connect();
  drawAll();
}

function say(text, kind) {
  $("status").textContent = text;
  $("status").className = `pill ${kind}`;
}

function connect() {
  if (source) source.close();
  const query = new URLSearchParams({ scale: chosen.scale });
  if (chosen.entity !== null) query.set("entity", chosen.entity);
  source = new EventSource(`live?${query}`);
  const draws = { run: drawRun, events: drawEvents, entities: drawEntities, trace: drawTrace, drift: drawDrift };
  for (const [kind, draw] of Object.entries(draws)) {
    source.addEventListener(kind, (message) => {
      now[kind] = JSON.parse(message.data);
      draw();
    });
  }
  source.addEventListener("ended", () => {
    source.close();
    say("the run has ended", "lost");
    setTimeout(connect, 5000);
  });
  source.onerror = () => {
    say("no connection, trying again", "lost");
    // A browser gives up where the answer is an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  };
}

function drawAll() {
  drawRun();
  drawEntities();
  drawEvents();
  drawTrace();
}

function drawRun() {
  const run = now.run;
  if (!run) return;
  say("live", "live");
  document.title = `${run.open ? `(${run.open}) ` : ""}${run.title} · slidecell stream`;
  setText($("title"), run.title);
  const reasons = Object.entries(run.reasons).map(([reason, n]) => `${count(n)} ${reason}`);
  const rate = run.rates.length ? run.rates[run.rates.length - 1] : 0;
  const tiles = [
    { name: "rows a second", value: count(rate), rates: run.rates },
    { name: "rows", value: count(run.rows), more: run.idle === null ? "none yet" : run.idle < 3 ? "coming in now" : `the last one ${ago(run.idle)} ago` },
    { name: "open events", value: count(run.open), more: `of ${plural(run.events, "event")}`, raised: run.open > 0 },
    { name: "flagged rows", value: count(run.alarms), more: run.rows ? `${brief((100 * run.alarms) / run.rows)} % of all` : "" },
    { name: "time to score a row", value: run.p50 === null ? "none" : `${brief(run.p50)} µs`, more: run.p99 === null ? "" : `99\u00a0% within ${brief(run.p99)}\u00a0µs` },
    { name: "unused lines", value: count(run.skipped), more: reasons.join(", ") || "all were read", raised: run.skipped > 0 },
  ];
  reconcile($("tiles"), tiles, (tile) => tile.name, newTile, (node, tile) => {
    node.classList.toggle("raised", Boolean(tile.raised));
    setText(node.children[1], tile.value);
    if (tile.rates) drawRates(node.children[2].firstChild, tile.rates);
    else setText(node.children[2], tile.more);
  });
  setText($("footer"), `slidecell ${run.version}, running for ${ago(run.uptime)}`);
}

function newTile(tile) {
  const rest = make("dd");
  if (tile.rates) {
    const picture = shape("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" });
    picture.append(shape("path", { class: "rate" }));
    rest.append(picture);
  }
  return make("div", { class: "tile" }, make("dt", {}, tile.name), make("dd"), rest);
}

function drawRates(picture, rates) {
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, n) => `${(100 * n) / Math.max(1, rates.length - 1)},${19 - (18 * rate) / most}`);
  picture.firstChild.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
}

function drawEntities() {
  const { shown, names } = now.entities;
  const total = shown.length + names.length;
  const alone = total === 0 || (total === 1 && shown[0].name === "");
  $("entities").hidden = alone;
  $("middle").classList.toggle("single", alone);
  setText($("entity-count"), count(total));
  const wanted = $("filter").value.trim().toLowerCase();
  const all = [...shown, ...names.map((name) => ({ name }))];
  const found = wanted ? all.filter((item) => item.name.toLowerCase().includes(wanted)) : all;
  const listed = found.slice(0, 200);
  reconcile($("entity-list"), listed, (item) => item.name, newEntity, (node, item) => {
    const button = node.firstChild;
    button.setAttribute("aria-current", String(item.name === showing()));
    const state = item.open ? "open" : item.alarm ? "past" : "";
    button.children[0].className = `state ${state}`;
    button.title = item.open ? `${item.name}: an event is open` : item.name;
    setText(button.children[2], item.score === undefined || item.score === null ? "" : figure(item.score));
  });
  const left = found.length - listed.length;
  setText($("entity-more"), left > 0 ? `and ${count(left)} more` : found.length ? "" : "No entity has this in its name.");
}

function newEntity(item) {
  const parts = [make("span", { class: "state" }), make("span", { class: "name" }, item.name), make("span", { class: "value" })];
  const button = make("button", { type: "button" }, ...parts);
  button.addEventListener("click", () => choose({ entity: item.name }));
  return make("li", {}, button);
}

// The entity that is drawn: the one that was chosen, or else the run's choice.
function showing() {
  return chosen.entity !== null ? chosen.entity : now.trace ? now.trace.entity : null;
}

function drawEvents() {
  const entity = showing();
  const only = $("only").checked;
  const all = only ? now.events.filter((event) => event.entity === entity) : now.events;
  const listed = all.slice(0, shownEvents);
  const named = now.events.some((event) => event.entity !== "");
  $("events").classList.toggle("plain", !named);
  $("events").hidden = listed.length === 0;
  $("no-events").hidden = listed.length > 0;
  setText($("no-events"), only ? "No event of this entity so far." : "No event so far.");
  $("more-events").hidden = all.length <= listed.length;
  setText($("more-events"), `Show ${count(all.length - listed.length)} more`);
  const body = $("events").tBodies[0];
  reconcile(body, listed, (event) => JSON.stringify([event.entity, event.start]), newEvent, (node, event) => {
    const cells = node.children;
    const pill = cells[0].firstChild;
    pill.className = `pill ${event.state}`;
    setText(pill, event.state);
    setText(cells[3], figure(event.peak));
    setText(cells[4], driven(event.columns));
    setText(cells[5], event.state === "open" ? "" : place(event.end));
    setText(cells[6], count(event.rows));
    cells[6].dataset.unit = event.rows === 1 ? "row" : "rows";
  });
}

// Columns of little weight would hide the others.
function driven(columns) {
  const kept = columns.filter(([, share], n) => n === 0 || share >= 0.05);
  return kept.map(([name, share]) => `${name}\u00a0${Math.round(100 * share)}\u00a0%`).join(", ");
}

const place = (value) => (typeof value === "number" ? value.toLocaleString("en") : String(value === null ? "" : value));

function newEvent(event) {
  const button = make("button", { type: "button" }, event.entity);
  button.addEventListener("click", () => {
    choose({ entity: event.entity });
    $("chosen").scrollIntoView({ block: "nearest" });
  });
  return make("tr", {},
    make("td", {}, make("span", { class: "pill" })), make("td", {}, button),
    make("td", {}, place(event.start)), make("td", { class: "number" }), make("td"), make("td"),
    make("td", { class: "number" }));
}

function drawDrift() {
  const drift = now.drift;
  $("drift").hidden = !drift;
  $("drift-link").hidden = !drift || drift.advice === "fine";
  if (!drift) return;
  setText($("drift-link"), `drift: ${drift.advice}`);
  $("drift-link").className = `pill ${drift.advice}`;
  $("advice").className = `pill ${drift.advice}`;
  setText($("advice"), drift.advice);
  setText($("drift-about"), `The last ${count(drift.rows)} rows beside those of training.`);
  reconcile($("columns").tBodies[0], drift.columns, (column) => column.name, (column) => make("tr", {},
    make("td", {}, column.name), ...Array.from({ length: 5 }, () => make("td", { class: "number" }))), (node, column) => {
    const percent = (share) => (share === null ? "" : `${brief(100 * share)} %`);
    const cells = [column.level === null ? "" : `${column.level > 0 ? "+" : ""}${column.level.toFixed(2)}`,
      column.spread === null ? "" : `${column.spread.toFixed(2)}×`, percent(column.outside), percent(column.missing),
      column.distance === null ? "" : column.distance.toFixed(2)];
    cells.forEach((text, n) => setText(node.children[n + 1], text));
    node.classList.toggle("far", Boolean(column.far));
  });
}

// The chart: an SVG that is drawn anew; its colours are the page's.
const EDGE = { top: 10, right: 12, bottom: 26, left: 40 };

function drawTrace() {
  const trace = now.trace;
  const name = showing();
  setText($("chosen-name"), name ? `Scores of ${name}` : "Scores");
  if (!trace || (chosen.entity !== null && trace.entity !== chosen.entity)) return;
  drawScales(trace);
  const box = $("chart").getBoundingClientRect();
  const width = Math.max(box.width, 200);
  const height = Math.max(box.height, 120);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": describe(trace) });
  if (trace.t.length) {
    const y = vertical(trace, height);
    EDGE.left = 16 + 7 * Math.max(...y.ticks.map((value) => figure(value).length), 1);
    const x = horizontal(trace, width);
    drawGrid(picture, x, y, width, height);
    drawBands(picture, trace, x, height);
    picture.append(shape("path", { class: "limit", d: path(trace.h, x, y) }));
    picture.append(shape("path", { class: "line", d: path(trace.s, x, y) }));
    drawLonely(picture, trace, x, y);
    drawMarks(picture, trace, x, y);
    if (hovered !== null && hovered < trace.t.length) {
      const at = x.of(hovered);
      picture.append(shape("line", { class: "cursor", x1: at, x2: at, y1: EDGE.top, y2: height - EDGE.bottom }));
    }
    picture.onpointermove = (event) => hover(event, trace, x);
    picture.onpointerleave = () => { hovered = null; drawTrace(); };
  }
  $("chart").replaceChildren(picture);
  drawReadout(trace);
}

function hover(event, trace, x) {
  const box = $("chart").getBoundingClientRect();
  hovered = x.nearest(event.clientX - box.left);
  drawTrace();
}

function describe(trace) {
  const flagged = trace.a.reduce((sum, n) => sum + n, 0);
  return `Scores of the last ${count(trace.t.length * trace.size)} rows; ${plural(flagged, "row")} flagged`;
}

function drawReadout(trace) {
  const n = hovered === null ? trace.t.length - 1 : Math.min(hovered, trace.t.length - 1);
  if (n < 0) {
    $("readout").replaceChildren(trace.sizes.length ? "No row has been scored yet." : "Nothing is kept of this entity.");
    return;
  }
  const most = trace.size > 1 ? `the highest of ${trace.size} rows from ` : hovered === null ? "last row " : "";
  const parts = [`${most}${moment(trace.t[n])}: score ${figure(trace.s[n])}, threshold ${figure(trace.h[n])}`];
  if (trace.a[n]) parts.push(", ", make("span", { class: "flag" }, trace.size > 1 ? `${trace.a[n]} flagged` : "flagged"));
  $("readout").replaceChildren(...parts);
}

function drawScales(trace) {
  const steps = trace.t.length > 1 ? (trace.t[trace.t.length - 1] - trace.t[0]) / ((trace.t.length - 1) * trace.size) : 0;
  const names = trace.sizes.map((size) => {
    const rows = 480 * size;
    if (now.run && now.run.kind === "date" && steps > 0) return ago((rows * steps) / 1e9);
    return `${count(rows)} rows`;
  });
  const at = Math.min(chosen.scale, trace.sizes.length - 1);
  const buttons = names.length > 1 ? names.map((name, n) => ({ name, n })) : [];
  reconcile($("scales"), buttons, (item) => String(item.n), (item) => {
    const button = make("button", { type: "button" });
    button.addEventListener("click", () => choose({ scale: item.n }));
    return button;
  }, (node, item) => {
    setText(node, item.name);
    node.setAttribute("aria-pressed", String(item.n === at));
  });
}

function horizontal(trace, width) {
  const first = trace.t[0];
  const last = trace.t[trace.t.length - 1];
  const left = EDGE.left;
  const room = width - EDGE.left - EDGE.right;
  const share = last > first ? (value) => (value - first) / (last - first) : () => 1;
  const places = trace.t.map((value) => left + room * share(value));
  return {
    of: (n) => places[n],
    at: (value) => left + room * share(value),
    nearest: (pixel) => places.reduce((best, place, n) => (Math.abs(place - pixel) < Math.abs(places[best] - pixel) ? n : best), 0),
    first, last, room,
  };
}

function vertical(trace, height) {
  const known = trace.s.filter((value) => typeof value === "number");
  const limits = trace.h.filter((value) => typeof value === "number");
  const highest = Math.max(0, ...known, ...limits);
  const lowest = Math.min(0, ...known, ...limits);
  const bottom = height - EDGE.bottom;
  const room = bottom - EDGE.top;
  const middle = known.slice().sort((a, b) => a - b)[Math.floor(known.length / 2)] || 0;
  // One high event must not flatten everything below: as in the report's figures.
  if (middle > 0 && lowest >= 0 && highest > 25 * middle) {
    const positive = [...known, ...limits].filter((value) => value > 0);
    const low = Math.log10(Math.max(Math.min(...positive), highest / 1e6));
    const high = Math.log10(highest);
    const span = Math.max(high - low, 1e-9);
    const of = (value) => bottom - (room * Math.max(0, Math.log10(Math.max(value, 1e-300)) - low)) / span / 1.04;
    const ticks = [];
    const step = Math.max(1, Math.ceil(span / 5));
    for (let e = Math.ceil(low); e <= high; e += step) ticks.push(10 ** e);
    return { of, ticks, top: EDGE.top };
  }
  const span = (highest - lowest || 1) * 1.06;
  return { of: (value) => bottom - (room * (value - lowest)) / span, ticks: nice(lowest, highest, 4), top: EDGE.top };
}

function nice(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((n) => n * power >= raw) || 10);
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high * 1.0001; value += step) ticks.push(Number(value.toPrecision(12)));
  return ticks;
}

const SECOND = 1e9;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000, 31536000];

function timeTicks(x) {
  const wanted = Math.max(2, Math.floor(x.room / 80));
  if (!now.run || now.run.kind !== "date") {
    return nice(x.first, x.last, wanted).filter((value) => value >= x.first).map((value) => [value, value.toLocaleString("en")]);
  }
  const span = (x.last - x.first) / SECOND;
  if (span < 2) return [[x.last, moment(x.last).slice(11)]];
  const step = (STEPS.find((s) => s >= span / wanted) || span / wanted) * SECOND;
  const ticks = [];
  for (let value = Math.ceil(x.first / step) * step; value <= x.last; value += step) {
    const text = new Date(value / 1e6).toISOString();
    const label = step >= 86400 * SECOND ? text.slice(0, 10) : step >= 60 * SECOND ? text.slice(11, 16) : text.slice(11, 19);
    ticks.push([value, label === "00:00" ? text.slice(5, 10) : label]);
  }
  return ticks;
}

function drawGrid(picture, x, y, width, height) {
  const bottom = height - EDGE.bottom;
  for (const value of y.ticks) {
    const at = y.of(value);
    picture.append(shape("line", { class: "gridline", x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }));
    picture.append(shape("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, figure(value)));
  }
  for (const [value, label] of timeTicks(x)) {
    const at = x.at(value);
    if (at > width - EDGE.right - 14) continue;
    picture.append(shape("line", { class: "frame", x1: at, x2: at, y1: bottom, y2: bottom + 5 }));
    picture.append(shape("text", { x: at, y: bottom + 19, "text-anchor": at < EDGE.left + 20 ? "start" : "middle" }, label));
  }
  picture.append(shape("line", { class: "frame", x1: EDGE.left, x2: width - EDGE.right, y1: bottom, y2: bottom }));
}

function path(values, x, y) {
  let text = "";
  let drawing = false;
  values.forEach((value, n) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const at = typeof value === "number" ? Math.max(y.top, y.of(value)) : y.top;
    text += `${drawing ? "L" : "M"}${x.of(n).toFixed(1)},${at.toFixed(1)}`;
    drawing = true;
  });
  return text;
}

// A score between two holes is no line.
function drawLonely(picture, trace, x, y) {
  trace.s.forEach((value, n) => {
    const alone = typeof value === "number" && (trace.s[n - 1] ?? null) === null && (trace.s[n + 1] ?? null) === null;
    if (alone) picture.append(shape("circle", { class: "dot", cx: x.of(n), cy: y.of(value), r: 1.5 }));
  });
}

function drawBands(picture, trace, x, height) {
  let begin = null;
  trace.a.forEach((flagged, n) => {
    if (flagged && begin === null) begin = n;
    if (begin !== null && (!flagged || n === trace.a.length - 1)) {
      const end = flagged ? n : n - 1;
      const left = x.of(begin) - 3;
      picture.append(shape("rect", { class: "band", x: left, y: EDGE.top, width: x.of(end) + 3 - left, height: height - EDGE.bottom - EDGE.top }));
      begin = null;
    }
  });
}

function drawMarks(picture, trace, x, y) {
  trace.a.forEach((flagged, n) => {
    const value = trace.s[n];
    if (!flagged || value === null) return;
    const at = typeof value === "number" ? Math.max(y.top, y.of(value)) : y.top;
    picture.append(shape("circle", { class: "mark", cx: x.of(n), cy: at, r: 2.5 }));
  });
}

readChoice();
$("entities").open = matchMedia("(min-width: 62rem)").matches;
$("filter").addEventListener("input", drawEntities);
$("only").addEventListener("change", drawEvents);
$("drift-link").addEventListener("click", () => $("drift").scrollIntoView());
$("more-events").addEventListener("click", () => { shownEvents = Infinity; drawEvents(); });
addEventListener("hashchange", () => { readChoice(); connect(); drawAll(); });
addEventListener("resize", drawTrace);
connect();
