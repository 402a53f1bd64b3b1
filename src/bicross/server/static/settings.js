// The controls beside the results: they show the state, and change it.

import { json } from "./api.js";
import { settleSecond } from "./compare.js";
import { $, el, many } from "./dom.js";
import { search } from "./search.js";
import { app, firstSetup, keep, secondSetup } from "./state.js";

let soon = 0;
let drawn = null; // the facets that are shown

export async function refresh() {
  app.info = await json("/api/info");
  settle();
}

export function changed() {
  if (!app.info) return; // the start takes the state as it is by then
  settle();
  keep(true);
  clearTimeout(soon);
  soon = setTimeout(search, 150);
}

// What the address asks for, as far as it is there.
function settle() {
  const { state } = app;
  const first = firstSetup();
  state.stage = first.first_stages.includes(state.stage) ? state.stage : null;
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
  settleSecond();
  const reranks = $("rerank").checked || (state.compare && $("rerank2").checked);
  state.candidates = slide("candidates", state.candidates, !reranks);
  state.budget = slide("budget", state.budget, !reranks);
  $("candidates-value").textContent = state.candidates;
  $("budget-value").textContent = state.budget ? `${state.budget} ms` : "none";
  $("budget").setAttribute("aria-valuetext", state.budget ? `${state.budget} milliseconds` : "no limit");
  $("count").value = state.count;
  fill($("setup"), first.name);
  fill($("setup2"), secondSetup().name);
  $("where").textContent = `${many(first.passages, "passage")} in “${first.collection}”`;
  if (drawn !== first.facets) drawFacets(first);
  checkFacets();
}

function slide(id, value, disabled) {
  $(id).value = value;
  $(id).disabled = disabled;
  return Number($(id).value); // of its steps, the nearest
}

function fill(select, name) {
  select.replaceChildren(...app.info.setups.map((each) => el("option", { value: each.name, text: each.name })));
  select.value = name;
}

function drawFacets(setup) {
  const box = $("facets");
  const opened = new Set([...box.querySelectorAll("details[open]")].map((each) => each.dataset.field));
  const parts = Object.entries(setup.facets).map(([field, values], i) => {
    const rows = values.map(({ value, count }) => {
      const input = el("input", { type: "checkbox", "data-field": field, "data-value": String(value) });
      input.addEventListener("change", () => choose(field, String(value), input.checked));
      return el("li", {}, el("label", { class: "check" }, input, el("span", { text: String(value) }), el("span", { text: count.toLocaleString("en") })));
    });
    const open = opened.has(field) || (drawn === null && i === 0);
    return el("details", { class: "facet", "data-field": field, open }, el("summary", { text: field }), el("ul", { class: "plain" }, ...rows));
  });
  const none = el("p", { class: "note", text: "The passages have no fields to choose by." });
  const some = el("p", { class: "note", text: "Counted on a part of the passages." });
  box.replaceChildren(...(parts.length ? parts : [none]), ...(setup.facets_complete ? [] : [some]));
  drawn = setup.facets;
}

// Drawn once and then only checked, so that the focus and the place in a long list stay.
function checkFacets() {
  const { filters } = app.state;
  $("clear").hidden = filters.size === 0;
  for (const part of $("facets").querySelectorAll("details")) part.open ||= filters.has(part.dataset.field);
  for (const input of $("facets").querySelectorAll("input")) {
    input.checked = filters.get(input.dataset.field)?.has(input.dataset.value) ?? false;
  }
}

function choose(field, value, on) {
  const { filters } = app.state;
  const chosen = filters.get(field) ?? new Set();
  if (on) chosen.add(value);
  else chosen.delete(value);
  if (chosen.size) filters.set(field, chosen);
  else filters.delete(field);
  changed();
}

export function listenToSettings() {
  const on = (id, event, set) => $(id).addEventListener(event, () => {
    set(app.state, $(id));
    changed();
  });
  $("stages").addEventListener("change", (event) => {
    app.state.stage = event.target.value;
    changed();
  });
  on("rerank", "change", (state, box) => (state.rerank = box.checked));
  on("candidates", "input", (state, range) => (state.candidates = Number(range.value)));
  on("budget", "input", (state, range) => (state.budget = Number(range.value)));
  on("count", "change", (state, select) => (state.count = Number(select.value)));
  on("setup", "change", (state, select) => (state.setup = select.value));
  on("compare", "change", (state, box) => (state.compare = box.checked));
  on("setup2", "change", (state, select) => (state.setup2 = select.value));
  on("stage2", "change", (state, select) => (state.stage2 = select.value));
  on("rerank2", "change", (state, box) => (state.rerank2 = box.checked));
  on("clear", "click", (state) => state.filters.clear());
}
