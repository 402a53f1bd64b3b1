// The search page. Everything that comes from documents, file names and queries is set as text, never as HTML.

const $ = (id) => document.getElementById(id);
const STAGES = { dense: "Dense", bm25: "BM25", hybrid: "Hybrid" };
const STEPS = { encode: "encode query", retrieve: "retrieve", rerank: "rerank", ground: "find sentences" };
const ANSWERED_FROM = 5;
const POLL_MS = 400;

let info = null;
let state = null;
let searching = null; // aborts the searches under way
let shown = []; // what each column shows
let polling = 0;

// --- the API ---------------------------------------------------------------------------------------------------------

class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const bearer = () => {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
};

async function called(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...bearer() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server doesn't answer. Is it running? Start it again: bicross demo");
  }
  if (!response.ok) throw new Failure(response.status, await reason(response));
  return response;
}

async function reason(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? `The server answered ${response.status}.`;
}

const json = async (path, options) => (await called(path, options)).json();

const posted = (path, body, signal) =>
  called(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal });

// --- small helpers ---------------------------------------------------------------------------------------------------

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const number = (value) => (Math.abs(value) < 0.001 && value !== 0 ? value.toExponential(1) : value.toFixed(3));
const time = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en")) + " ms";

// --- the state, which is the address ---------------------------------------------------------------------------------

function read() {
  const given = new URLSearchParams(location.search);
  const whole = (name, least, most, other) => {
    const value = Number.parseInt(given.get(name), 10);
    return Number.isFinite(value) ? Math.min(Math.max(value, least), most) : other;
  };
  const filters = {};
  for (const [key, value] of given) {
    if (!key.startsWith("f.")) continue;
    (filters[key.slice(2)] ??= new Set()).add(value);
  }
  return {
    q: given.get("q") ?? "",
    stage: given.get("stage"),
    rerank: given.get("rerank") !== "0",
    candidates: whole("candidates", 10, 200, 50),
    budget: whole("budget", 0, 2000, 0),
    count: whole("count", 1, 100, 10),
    setup: given.get("setup"),
    compare: given.get("compare") === "1",
    setup2: given.get("setup2"),
    stage2: given.get("stage2"),
    rerank2: given.get("rerank2") !== "0",
    filters,
  };
}

function address() {
  const out = new URLSearchParams();
  const put = (name, value, usual) => value !== usual && value !== null && out.set(name, value);
  put("q", state.q, "");
  put("stage", state.stage, null);
  put("rerank", state.rerank ? "1" : "0", "1");
  put("candidates", state.candidates, 50);
  put("budget", state.budget, 0);
  put("count", state.count, 10);
  put("setup", state.setup, null);
  if (state.compare) {
    out.set("compare", "1");
    put("setup2", state.setup2, null);
    put("stage2", state.stage2, null);
    put("rerank2", state.rerank2 ? "1" : "0", "1");
  }
  for (const [field, values] of Object.entries(state.filters)) for (const value of values) out.append(`f.${field}`, value);
  const query = out.toString();
  return location.pathname + (query ? `?${query}` : "");
}

function keep(replace) {
  const next = address();
  if (next === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
}

// --- settings --------------------------------------------------------------------------------------------------------

const setupOf = (name) => info.setups.find((each) => each.name === name) ?? info.setups[0];

function settle() {
  // What the address asks for, as far as it is there.
  const usable = (setup, stage) => (setup.first_stages.includes(stage) ? stage : null);
  const [first, second] = [setupOf(state.setup), setupOf(state.setup2 ?? info.setups.at(-1).name)];
  state.stage = usable(first, state.stage);
  state.stage2 = usable(second, state.stage2);
  const stage = state.stage ?? first.first_stages[0];
  for (const radio of document.querySelectorAll("[name=stage]")) {
    radio.checked = radio.value === stage;
    radio.disabled = !first.first_stages.includes(radio.value);
  }
  const why = Object.values(first.unavailable)[0];
  $("unavailable").hidden = !why;
  $("unavailable").textContent = why ?? "";
  $("rerank").disabled = !first.cross_encoder;
  $("rerank").checked = state.rerank && Boolean(first.cross_encoder);
  $("candidates").value = state.candidates;
  $("candidates-value").textContent = state.candidates;
  $("candidates").disabled = $("budget").disabled = !$("rerank").checked;
  $("budget").value = state.budget;
  $("budget-value").textContent = state.budget ? `${state.budget} ms` : "none";
  $("budget").setAttribute("aria-valuetext", state.budget ? `${state.budget} milliseconds` : "no limit");
  $("count").value = state.count;
  fill($("setup"), first.name);
  fill($("setup2"), second.name);
  for (const option of $("stage2").options) option.disabled = !second.first_stages.includes(option.value);
  $("stage2").value = state.stage2 ?? second.first_stages[0];
  $("rerank2").checked = state.rerank2;
  $("compare").checked = state.compare;
  $("other").hidden = !state.compare;
  $("where").textContent = `${many(first.passages, "passage")} in “${first.collection}”`;
  drawFacets(first);
}

function fill(select, name) {
  select.replaceChildren(...info.setups.map((each) => el("option", { value: each.name, text: each.name })));
  select.value = name;
}

function drawFacets(setup) {
  const box = $("facets");
  const opened = new Set([...box.querySelectorAll("details[open]")].map((each) => each.dataset.field));
  const fields = Object.entries(setup.facets);
  $("clear").hidden = Object.keys(state.filters).length === 0;
  const parts = fields.map(([field, values], i) => {
    const chosen = state.filters[field] ?? new Set();
    const rows = values.map(({ value, count }) => {
      const input = el("input", { type: "checkbox", onchange: () => choose(field, String(value), input.checked) });
      input.checked = chosen.has(String(value));
      return el("li", {}, el("label", { class: "check" }, input, el("span", { text: String(value) }), el("span", { text: count.toLocaleString("en") })));
    });
    const open = opened.has(field) || chosen.size > 0 || (box.childElementCount === 0 && i === 0);
    const part = el("details", { class: "facet", open }, el("summary", { text: field }), el("ul", { class: "plain" }, ...rows));
    part.dataset.field = field;
    return part;
  });
  const none = el("p", { class: "note", text: "The passages have no fields to choose by." });
  const some = el("p", { class: "note", text: "Counted on a part of the passages." });
  box.replaceChildren(...(parts.length ? parts : [none]), ...(setup.facets_complete ? [] : [some]));
}

function choose(field, value, on) {
  const chosen = new Set(state.filters[field]);
  if (on) chosen.add(value);
  else chosen.delete(value);
  if (chosen.size) state.filters[field] = chosen;
  else delete state.filters[field];
  changed();
}

function filterOf(setup) {
  const conditions = Object.entries(state.filters).map(([field, chosen]) => {
    const typed = (text) => setup.facets[field]?.find(({ value }) => String(value) === text)?.value ?? text;
    const each = [...chosen].map((text) => ({ field: `meta.${field}`, operator: "==", value: typed(text) }));
    return each.length === 1 ? each[0] : { operator: "OR", conditions: each };
  });
  return conditions.length ? { operator: "AND", conditions } : null;
}

let soon = 0;
function changed() {
  if (!info) return; // the start takes the state as it is by then
  settle();
  keep(true);
  clearTimeout(soon);
  soon = setTimeout(search, 150);
}

// --- searching -------------------------------------------------------------------------------------------------------

function asked() {
  const body = (setup, stage, rerank) => ({
    query: state.q,
    top_k: state.count,
    candidates: state.candidates,
    first_stage: stage,
    rerank: rerank && Boolean(setup.cross_encoder),
    budget_ms: state.budget || null,
    filter: filterOf(setup),
    setup: setup.name,
  });
  const first = body(setupOf(state.setup), state.stage, state.rerank);
  if (!state.compare) return [first];
  return [first, body(setupOf(state.setup2 ?? info.setups.at(-1).name), state.stage2, state.rerank2)];
}

async function search() {
  if (!info) return;
  searching?.abort();
  $("problem").replaceChildren();
  $("answer-text").textContent = "";
  if (!state.q.trim()) return welcome();
  const mine = (searching = new AbortController());
  const bodies = asked();
  $("status").textContent = "Searching …";
  for (const column of document.querySelectorAll(".column")) column.setAttribute("aria-busy", "true");
  try {
    const found = [];
    // One after the other: side by side, each would slow the other's time down.
    for (const body of bodies) found.push(await (await posted("/api/search", body, mine.signal)).json());
    if (searching === mine) show(found);
  } catch (error) {
    if (error.name !== "AbortError" && searching === mine) fail(error, search);
  }
}

function welcome() {
  shown = [];
  const passages = setupOf(state.setup).passages;
  $("status").textContent = "";
  $("answer").hidden = true;
  const text = passages
    ? "Type a question. The first stage finds candidates among all passages; the cross-encoder reads each with your question and reorders them. You see who rose, who fell, and which sentence counted."
    : "Nothing is indexed yet. Add files beside this text, or start with a folder: bicross demo FOLDER";
  document.title = "bicross search";
  $("columns").className = "";
  $("columns").replaceChildren(el("p", { class: "empty", text }));
}

function fail(error, again) {
  $("status").textContent = "";
  $("columns").replaceChildren();
  $("answer").hidden = true;
  const box = el("div", { class: "problem" }, el("p", { text: error.message }));
  if (error.status === 401) box.append(tokenForm(again));
  else box.append(el("button", { type: "button", text: "Try again", onclick: again }));
  $("problem").replaceChildren(box);
}

function tokenForm(again) {
  const input = el("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const submit = (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", input.value);
    $("problem").replaceChildren();
    again();
  };
  return el("form", { onsubmit: submit }, el("label", { for: "token", text: "Token" }), input, el("button", { text: "Go on" }));
}

// --- results ---------------------------------------------------------------------------------------------------------

function show(found) {
  shown = found;
  document.title = `${state.q.slice(0, 60)} – bicross search`;
  const [first] = found;
  const total = first.hits.length;
  $("status").textContent = total
    ? `${many(total, "result")} of ${many(first.candidates, "candidate")}, ${first.reranked} reranked, in ${time(first.milliseconds.total)}` +
      (first.truncated ? `; ${first.truncated} ${first.truncated === 1 ? "was" : "were"} longer than the cross-encoder reads` : "")
    : "No result.";
  $("columns").className = found.length > 1 ? "two" : "";
  $("columns").replaceChildren(...found.map((each, i) => column(each, i, found)));
  drawLadders();
  $("answer").hidden = total === 0;
  $("ask").hidden = !info.chat.model;
  if (!info.chat.model) $("columns").after($("answer"));
  $("answer-note").textContent = info.chat.model ? "" : info.chat.how;
}

function column(result, index, all) {
  const parts = [el("h2", { text: heading(result, index, all), class: all.length > 1 ? "" : "hidden" }), times(result.milliseconds)];
  if (result.hits.length === 0) parts.push(nothing());
  else parts.push(board(result, index, all));
  return el("section", { class: "column", "aria-label": `Results ${index + 1}` }, ...parts);
}

function heading(result, index, all) {
  const name = `${result.setup} · ${STAGES[result.first_stage]}${result.reranked ? " + rerank" : ""}`;
  if (index === 0) return name;
  const left = new Set(all[0].hits.map((hit) => hit.id));
  return `${name} · ${result.hits.filter((hit) => left.has(hit.id)).length} of ${result.hits.length} in common`;
}

function nothing() {
  const filtered = Object.keys(state.filters).length > 0;
  const box = el("div", { class: "empty" });
  box.append(el("p", { text: filtered ? "No passage matches these filters." : "No passage was found. Use other words, or another first stage." }));
  if (filtered) box.append(el("button", { type: "button", text: "Clear the filters", onclick: clearFilters }));
  return box;
}

function clearFilters() {
  state.filters = {};
  changed();
}

function times(ms) {
  const steps = Object.keys(STEPS).filter((step) => ms[step] > 0);
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  for (const step of steps) {
    const part = el("span", { class: step, title: `${STEPS[step]}: ${time(ms[step])}` });
    part.style.flexGrow = ms[step];
    bar.append(part);
  }
  const rows = steps.map((step) => el("li", { class: step, text: `${STEPS[step]} ${time(ms[step])}` }));
  return el("div", { class: "times" }, bar, el("ul", { "aria-label": "Time of each stage" }, ...rows));
}

function board(result, index, all) {
  const box = el("div", { class: "board" });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "ladder");
  svg.setAttribute("aria-hidden", "true");
  const hits = result.hits.map((hit) => card(hit, result, index, all));
  box.append(svg, el("span", { class: "axis", text: "first stage" }), el("ol", { class: "hits" }, ...hits));
  if (result.misses.length) {
    const misses = result.misses.map((miss) => missed(miss, result));
    box.append(el("section", { class: "misses", "aria-label": "Nearest misses" }, el("h2", { text: "Nearest misses: what just wasn’t shown, and why" }), el("ul", { class: "plain" }, ...misses)));
  }
  return box;
}

const direction = (hit) => (hit.rose > 0 ? "rose" : hit.rose < 0 ? "fell" : "stayed");

function move(hit) {
  if (hit.stage1_rank === null) return el("span");
  const places = Math.abs(hit.rose);
  const text = hit.rose > 0 ? `▲ ${places}` : hit.rose < 0 ? `▼ ${places}` : "=";
  const words = hit.rose ? `${direction(hit)} ${many(places, "place")}` : "kept its place";
  return el("span", { class: `move ${direction(hit)}` }, el("span", { "aria-hidden": "true", text: `${text} · was ${hit.stage1_rank}` }), el("span", { class: "hidden", text: `${words}, was ${hit.stage1_rank} in the first stage` }));
}

const titleOf = (hit) => hit.title || hit.meta.file_name || hit.source || "Untitled";

function card(hit, result, index, all) {
  const { node, cut } = passage(hit);
  const item = el("li", { class: "hit", tabindex: "-1", id: `hit-${index}-${hit.rank}` });
  item.dataset.rank = hit.stage1_rank ?? hit.rank;
  item.dataset.way = direction(hit);
  const head = el("div", { class: "head" }, el("span", { class: "place", text: hit.rank }), el("h3", { text: titleOf(hit) }), move(hit));
  const row = facts(hit, result, index, all);
  item.append(head, node, row);
  if (cut) {
    const toggle = el("button", { type: "button", class: "quiet", "aria-expanded": "false", text: "Whole passage", "aria-label": `Whole passage ${hit.rank}` });
    toggle.addEventListener("click", () => open(item, hit, toggle));
    row.append(toggle);
  }
  item.addEventListener("mouseenter", () => light(item, true));
  item.addEventListener("mouseleave", () => light(item, false));
  item.addEventListener("focus", () => light(item, true));
  item.addEventListener("blur", () => light(item, false));
  return item;
}

function open(item, hit, toggle) {
  const whole = item.classList.toggle("whole");
  item.querySelector(".text").replaceWith(passage(hit, whole).node);
  toggle.textContent = whole ? "Less" : "Whole passage";
  toggle.setAttribute("aria-expanded", whole);
  drawLadders();
}

// Lines that an editor wrapped are joined, without a change of length; lists, tables and headings keep theirs.
function unwrapped(text) {
  const rows = text.split("\n");
  const keeps = (row) => !row.trim() || /^\s*[#|>]/.test(row);
  const begins = (row) => keeps(row) || /^(\s*([-*+•]|\d+[.)])\s|\s{4})/.test(row);
  let code = false;
  return rows.reduce((all, row, i) => {
    const edge = row.startsWith("```");
    const end = code || edge || keeps(rows[i - 1]) || begins(row) || rows[i - 1].startsWith("```");
    if (edge) code = !code;
    return all + (end ? "\n" : " ") + row;
  });
}

function passage(hit, whole = false) {
  // The server counts characters as Python does: by code points.
  const points = Array.from(unwrapped(hit.text));
  const node = el("p", { class: "text" });
  const ground = hit.grounding;
  let from = 0;
  const before = ground ? points.slice(0, ground.start) : [];
  if (ground && !whole && (before.length > 220 || before.filter((point) => point === "\n").length > 3)) {
    from = Math.max(ground.start - 90, 0);
    while (from > 0 && !/\s/.test(points[from - 1]) && from > ground.start - 130) from -= 1;
  }
  const text = (start, end) => points.slice(start, end).join("");
  while (from < before.length && /\s/.test(points[from])) from += 1;
  if (from) node.append("… ");
  if (ground) node.append(text(from, ground.start), el("mark", { text: text(ground.start, ground.end) }), text(ground.end));
  else node.append(text(0));
  const lines = text(from).split("\n").filter((line) => line.trim()).length;
  return { node, cut: from > 0 || points.length > 420 || lines > 5 };
}

function facts(hit, result, index, all) {
  const rows = [];
  const fact = (label, value, unit) => rows.push(el("span", {}, `${label} `, el("b", { text: number(value) }), ` ${unit}`));
  // With a weighted sum, the order isn't the cross-encoder's own.
  if (hit.rerank_score !== null && Math.abs(hit.score - hit.rerank_score) > 1e-6) fact("both stages", hit.score, result.units.rerank);
  if (hit.rerank_score !== null) fact("cross-encoder", hit.rerank_score, result.units.rerank);
  else if (result.reranked) rows.push(el("span", { text: "not reranked: the time budget ended" }));
  if (hit.stage1_score !== null) fact(STAGES[result.first_stage].toLowerCase(), hit.stage1_score, result.units.stage1);
  for (const [name, leg] of Object.entries(hit.legs)) rows.push(el("span", { text: `${name} rank ${leg.rank}` }));
  if (hit.grounding) fact("sentence", hit.grounding.score, result.units.rerank);
  if (index > 0) {
    const twin = all[0].hits.find((other) => other.id === hit.id);
    rows.push(el("span", { text: twin ? `${twin.rank} on the left` : "not on the left" }));
  }
  const where = hit.meta.file_name ?? hit.source;
  if (where && where !== titleOf(hit)) rows.push(el("span", { class: "source", text: where }));
  return el("p", { class: "facts" }, ...rows);
}

function missed(miss, result) {
  const item = el("li", { class: "hit" });
  item.dataset.rank = miss.stage1_rank ?? miss.rank;
  item.dataset.way = direction(miss);
  item.dataset.miss = "1";
  const unit = miss.rerank_score !== null ? result.units.rerank : result.units.stage1;
  const why = [];
  if (miss.stage1_rank !== null && miss.stage1_rank <= result.hits.length && miss.rose < 0) why.push(`The first stage had it at ${miss.stage1_rank}.`);
  if (miss.rerank_score === null && result.reranked) why.push("The time budget ended before the cross-encoder read it.");
  else if (miss.gap !== null) why.push(miss.gap > 0 ? `Its score is ${number(miss.gap)} below the last result’s (${unit}).` : "Its score equals the last result’s.");
  if (miss.lacking.length) why.push(`It doesn’t say: ${miss.lacking.slice(0, 8).join(", ")}.`);
  const head = el("div", { class: "head" }, el("span", { class: "place", text: miss.rank }), el("h3", { text: titleOf(miss) }), move(miss));
  item.append(head, el("p", { class: "why", text: why.join(" ") }));
  item.addEventListener("mouseenter", () => light(item, true));
  item.addEventListener("mouseleave", () => light(item, false));
  return item;
}

// --- the lines from the first stage's order to the final one ---------------------------------------------------------

function drawLadders() {
  for (const box of document.querySelectorAll(".board")) drawLadder(box);
}

function drawLadder(box) {
  const svg = box.querySelector(".ladder");
  const items = [...box.querySelectorAll(".hit")];
  const top = box.getBoundingClientRect().top;
  const centre = (item) => {
    const head = item.querySelector(".head").getBoundingClientRect();
    return (head.top + head.bottom) / 2 - top;
  };
  const order = [...items].sort((a, b) => a.dataset.rank - b.dataset.rank);
  const [first, last] = [centre(items[0]), centre(items.at(-1))];
  const step = items.length > 1 ? (last - first) / (items.length - 1) : 0;
  const width = svg.getBoundingClientRect().width;
  const left = width > 60 ? 26 : 20;
  const draw = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    svg.append(node);
    return node;
  };
  svg.replaceChildren();
  order.forEach((item, i) => {
    const [from, to] = [first + i * step, centre(item)];
    const way = item.dataset.way;
    const middle = (left + width) / 2;
    draw("text", { x: left - 6, y: from + 4 }, item.dataset.rank);
    draw("circle", { cx: left, cy: from, r: 2.5, class: way });
    const line = draw("path", { d: `M${left} ${from}C${middle} ${from} ${middle} ${to} ${width - 2} ${to}`, class: item.dataset.miss ? `${way} miss` : way });
    item.line = line;
  });
}

function light(item, on) {
  item.line?.classList.toggle("lit", on);
}

// --- the answer ------------------------------------------------------------------------------------------------------

async function ask() {
  const hits = shown[0].hits.slice(0, ANSWERED_FROM);
  const mine = searching;
  const box = $("answer-text");
  $("ask").disabled = true;
  $("answer-note").textContent = `${info.chat.model} reads ${many(hits.length, "passage")} …`;
  box.textContent = "";
  try {
    const body = { query: state.q, ids: hits.map((hit) => hit.id), setup: shown[0].setup };
    const response = await posted("/api/answer", body, mine?.signal);
    await lines(response, (event) => {
      if (event.delta) box.textContent += event.delta;
      else if (event.error) $("answer-note").textContent = event.error;
      else finished(box, event, hits.length);
    });
  } catch (error) {
    if (error.name !== "AbortError") $("answer-note").textContent = error.message;
  } finally {
    $("ask").disabled = false;
  }
}

async function lines(response, each) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const parts = rest.split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) each(JSON.parse(part));
    if (done) return;
  }
}

function finished(box, { cited, unknown }, count) {
  const parts = box.textContent.split(/(\[\d{1,3}\])/);
  box.replaceChildren(...parts.map((part) => {
    const number = /^\[(\d+)\]$/.exec(part)?.[1];
    return number && number >= 1 && number <= count ? el("a", { href: `#hit-0-${number}`, text: part }) : part;
  }));
  const notes = [cited.length ? `Cites ${cited.map((n) => `[${n}]`).join(" ")}.` : "It cites no passage: don’t rely on it."];
  if (unknown.length) notes.push(`${unknown.map((n) => `[${n}]`).join(" ")} stands for no passage.`);
  $("answer-note").textContent = notes.join(" ");
}

// --- files -----------------------------------------------------------------------------------------------------------

const sending = new Map(); // uploads that aren't jobs yet
let jobs = [];
const OPEN = ["waiting", "reading", "indexing"];

async function send(files) {
  await started;
  if (!info) return;
  for (const file of files) {
    if (file.size > info.uploads.bytes) {
      sending.set(file.name, { name: file.name, state: "failed", error: `It has ${(file.size / 2 ** 20).toFixed(1)} MiB; a file may have ${info.uploads.bytes / 2 ** 20} MiB.` });
      drawJobs();
      continue;
    }
    try {
      const entry = await sent(file);
      // Breaking it off wouldn't do: what has arrived by then is indexed all the same.
      if (entry.unwanted) await cancel(entry.arrived);
      sending.delete(file.name);
    } catch (error) {
      sending.set(file.name, { name: file.name, state: "failed", error: error.message });
      drawJobs();
    }
    await poll(); // its row becomes the job's without a gap
  }
}

function sent(file) {
  // fetch doesn't tell how much has been sent.
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const entry = { name: file.name, state: "sending", done: 0, total: file.size };
    sending.set(file.name, entry);
    drawJobs();
    request.open("POST", `/api/index?name=${encodeURIComponent(file.name)}`);
    for (const [name, value] of Object.entries(bearer())) request.setRequestHeader(name, value);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      entry.done = event.loaded;
      drawJobs();
    };
    request.onload = () => {
      if (request.status === 202) {
        entry.arrived = JSON.parse(request.responseText);
        return done(entry);
      }
      let message = `The server answered ${request.status}.`;
      try {
        message = JSON.parse(request.responseText).error.message;
      } catch {
        // The answer isn't the server's own.
      }
      return failed(new Failure(request.status, message));
    };
    request.onerror = () => failed(new Failure(0, "The file can't be sent. Can it be read, and is the server running?"));
    request.send(file);
  });
}

async function poll() {
  clearTimeout(polling);
  const before = jobs;
  try {
    jobs = (await json("/api/index")).jobs;
  } catch {
    polling = setTimeout(poll, 5 * POLL_MS);
    return;
  }
  drawJobs();
  const wasOpen = new Set(before.filter((job) => OPEN.includes(job.state)).map((job) => job.id));
  const ended = jobs.some((job) => !OPEN.includes(job.state) && wasOpen.has(job.id));
  if (ended) {
    await refresh();
    search();
  }
  if (jobs.some((job) => OPEN.includes(job.state))) polling = setTimeout(poll, POLL_MS);
}

function drawJobs() {
  const rows = [...sending.values(), ...jobs.slice(0, 8)];
  const list = $("jobs");
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((job, i) => {
    // A row that only moves on keeps its button, so that it can be clicked.
    const old = list.children[i];
    const key = `${job.id ?? "new"} ${job.name} ${job.state}`;
    if (old?.dataset.key === key) return fillJob(old, job);
    const made = jobRow(job, key);
    return old ? old.replaceWith(made) : list.append(made);
  });
}

function jobRow(job, key) {
  const row = el("li", { class: `job ${job.state}` });
  row.dataset.key = key;
  const head = el("div", { class: "line" }, el("span", { text: job.name }));
  row.append(head);
  if (job.state === "sending" || OPEN.includes(job.state)) {
    head.append(el("button", { type: "button", class: "quiet", text: "Cancel", "aria-label": `Cancel ${job.name}`, onclick: () => cancel(job) }));
    row.append(el("progress", { "aria-label": `Progress of ${job.name}` }));
  }
  row.append(el("p", { class: "note" }));
  fillJob(row, job);
  return row;
}

function fillJob(row, job) {
  const bar = row.querySelector("progress");
  if (bar && job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else bar?.removeAttribute("value");
  row.querySelector(".note").textContent = said(job);
}

function said(job) {
  if (job.state === "failed") return job.error;
  if (job.unwanted) return "Will be cancelled as soon as it has arrived.";
  if (job.state === "sending") return `Sending: ${Math.round((100 * job.done) / (job.total || 1))} %`;
  if (job.state === "cancelled") return "Cancelled. What was written stays.";
  if (job.state === "waiting") return "Waits for its turn.";
  if (job.state === "done") {
    const { new: added, changed: edited, unchanged, deleted } = job.report;
    const skipped = job.skipped.length ? ` ${many(job.skipped.length, "file")} skipped: ${job.skipped[0]}` : "";
    return `${added} new, ${edited} changed, ${unchanged} unchanged, ${deleted} deleted.${skipped}`;
  }
  return job.total ? `${job.step}: ${job.done} of ${many(job.total, "passage")}` : `${job.step} …`;
}

async function cancel(job) {
  if (job.state === "sending" && !job.arrived) {
    job.unwanted = true;
    return drawJobs();
  }
  try {
    await json(`/api/index/${(job.arrived ?? job).id}`, { method: "DELETE" });
  } catch (error) {
    $("status").textContent = error.message;
  }
  return poll();
}

// --- keys, events, start ---------------------------------------------------------------------------------------------

function keys(event) {
  const target = event.target;
  const typing = target.matches("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
  const cards = [...document.querySelectorAll(".hits .hit")];
  const at = cards.indexOf(target.closest?.(".hits .hit"));
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("query").focus();
    $("query").select();
  } else if (event.key === "ArrowDown" && cards.length && (target === $("query") || at >= 0)) {
    event.preventDefault();
    cards[Math.min(at + 1, cards.length - 1)].focus();
  } else if (event.key === "ArrowUp" && at >= 0) {
    event.preventDefault();
    (cards[at - 1] ?? $("query")).focus();
  } else if (event.key === "Escape" && at >= 0) $("query").focus();
  else if (event.key === "Enter" && target === cards[at]) target.querySelector("button")?.click();
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.q = $("query").value;
    keep(false);
    search();
  });
  const on = (id, event, set) => $(id).addEventListener(event, () => {
    set($(id));
    changed();
  });
  $("stages").addEventListener("change", (event) => {
    state.stage = event.target.value;
    changed();
  });
  on("rerank", "change", (box) => (state.rerank = box.checked));
  on("candidates", "input", (range) => (state.candidates = Number(range.value)));
  on("budget", "input", (range) => (state.budget = Number(range.value)));
  on("count", "change", (select) => (state.count = Number(select.value)));
  on("setup", "change", (select) => (state.setup = select.value));
  on("compare", "change", (box) => (state.compare = box.checked));
  on("setup2", "change", (select) => (state.setup2 = select.value));
  on("stage2", "change", (select) => (state.stage2 = select.value));
  on("rerank2", "change", (box) => (state.rerank2 = box.checked));
  $("clear").addEventListener("click", clearFilters);
  $("ask").addEventListener("click", ask);
  $("files").addEventListener("change", () => {
    send([...$("files").files]);
    $("files").value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    $("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") send([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("keydown", keys);
  window.addEventListener("popstate", () => {
    state = read();
    $("query").value = state.q;
    changed();
  });
  new ResizeObserver(drawLadders).observe($("columns"));
}

async function refresh() {
  info = await json("/api/info");
  settle();
}

async function start() {
  if (window.matchMedia("(max-width: 760px)").matches) $("settings").open = false;
  try {
    await refresh();
  } catch (error) {
    fail(error, start);
    return;
  }
  $("files").setAttribute("accept", info.uploads.suffixes.join(","));
  $("files-note").textContent = `${info.uploads.suffixes.join(" ")}, up to ${info.uploads.bytes / 2 ** 20} MiB each. Or drop them here.`;
  poll();
  search();
}

state = read();
$("query").value = state.q;
listen();
const started = start();
