// What a search found, as cards with their places in both stages, and what it took.

import { heading, placeOnTheLeft, STAGES } from "./compare.js";
import { $, el, many, number, time } from "./dom.js";
import { drawLadders, emptyLadder, lightUp } from "./ladder.js";
import { passage } from "./passage.js";

const STEPS = { encode: "encode query", retrieve: "retrieve", rerank: "rerank", ground: "find sentences" };

export function column(result, index, all) {
  const title = el("h2", { text: heading(result, index, all), class: all.length > 1 ? "" : "hidden" });
  const found = result.hits.length === 0 ? nothing() : board(result, index, all);
  return el("section", { class: "column", "aria-label": `Results ${index + 1}` }, title, times(result.milliseconds), found);
}

function nothing() {
  const filtered = !$("clear").hidden;
  const text = filtered ? "No passage matches these filters." : "No passage was found. Use other words, or another first stage.";
  const clear = el("button", { type: "button", text: "Clear the filters", onclick: () => $("clear").click() });
  return el("div", { class: "empty" }, el("p", { text }), filtered ? clear : null);
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
  const hits = result.hits.map((hit) => card(hit, result, index, all));
  const box = el("div", { class: "board" }, emptyLadder(), el("span", { class: "axis", text: "first stage" }), el("ol", { class: "hits" }, ...hits));
  if (result.misses.length) {
    const misses = result.misses.map((miss) => missed(miss, result));
    box.append(el("section", { class: "misses", "aria-label": "Nearest misses" }, el("h2", { text: "Nearest misses: what just wasn’t shown, and why" }), el("ul", { class: "plain" }, ...misses)));
  }
  return box;
}

const titleOf = (hit) => hit.title || hit.meta.file_name || hit.source || "Untitled";
const direction = (hit) => (hit.rose > 0 ? "rose" : hit.rose < 0 ? "fell" : "stayed");
const headOf = (hit) => el("div", { class: "head" }, el("span", { class: "place", text: hit.rank }), el("h3", { text: titleOf(hit) }), move(hit));
const placed = (hit) => ({ class: "hit", "data-rank": hit.stage1_rank ?? hit.rank, "data-way": direction(hit) });

function move(hit) {
  if (hit.stage1_rank === null) return el("span");
  const places = Math.abs(hit.rose);
  const text = hit.rose > 0 ? `▲ ${places}` : hit.rose < 0 ? `▼ ${places}` : "=";
  const words = hit.rose ? `${direction(hit)} ${many(places, "place")}` : "kept its place";
  return el("span", { class: `move ${direction(hit)}` }, el("span", { "aria-hidden": "true", text: `${text} · was ${hit.stage1_rank}` }), el("span", { class: "hidden", text: `${words}, was ${hit.stage1_rank} in the first stage` }));
}

function card(hit, result, index, all) {
  const row = facts(hit, result, index, all);
  const item = el("li", { ...placed(hit), tabindex: "-1", id: `hit-${index}-${hit.rank}` }, headOf(hit), passage(hit), row);
  const toggle = el("button", { type: "button", class: "quiet", "aria-expanded": "false", text: "Whole passage", "aria-label": `Whole passage ${hit.rank}` });
  toggle.addEventListener("click", () => open(item, hit, toggle));
  row.append(toggle);
  item.fit = () => fit(item, hit, toggle);
  lightUp(item, ["mouseenter", "mouseleave"], ["focus", "blur"]);
  return item;
}

function open(item, hit, toggle) {
  const whole = item.classList.toggle("whole");
  item.querySelector(".text").replaceWith(passage(hit, whole ? "whole" : "short"));
  toggle.textContent = whole ? "Less" : "Whole passage";
  toggle.setAttribute("aria-expanded", whole);
  layOut();
}

// A card shows a few lines, and how much these are depends on its width: its best sentence is to be among them.
function fit(item, hit, toggle) {
  if (item.classList.contains("whole")) return;
  let text = item.querySelector(".text");
  const mark = text.querySelector("mark");
  const ends = text.getBoundingClientRect().bottom + 1;
  if (mark && !(mark.getBoundingClientRect().bottom <= ends)) {
    text.replaceWith(passage(hit, "sentence"));
    text = item.querySelector(".text");
  }
  toggle.hidden = !text.dataset.cut && text.scrollHeight <= text.clientHeight + 1;
}

// What depends on sizes: once the cards are there, and when these change.
export function layOut() {
  for (const item of document.querySelectorAll(".hits .hit")) item.fit();
  drawLadders();
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
  if (index > 0) rows.push(el("span", { text: placeOnTheLeft(hit, all) }));
  const where = hit.meta.file_name ?? hit.source;
  if (where && where !== titleOf(hit)) rows.push(el("span", { class: "source", text: where }));
  return el("p", { class: "facts" }, ...rows);
}

function missed(miss, result) {
  const unit = miss.rerank_score !== null ? result.units.rerank : result.units.stage1;
  const why = [];
  if (miss.stage1_rank !== null && miss.stage1_rank <= result.hits.length && miss.rose < 0) why.push(`The first stage had it at ${miss.stage1_rank}.`);
  if (miss.rerank_score === null && result.reranked) why.push("The time budget ended before the cross-encoder read it.");
  else if (miss.gap !== null) why.push(miss.gap > 0 ? `Its score is ${number(miss.gap)} below the last result’s (${unit}).` : "Its score equals the last result’s.");
  if (miss.lacking.length) why.push(`It doesn’t say: ${miss.lacking.slice(0, 8).join(", ")}.`);
  const item = el("li", { ...placed(miss), "data-miss": "1" }, headOf(miss), el("p", { class: "why", text: why.join(" ") }));
  lightUp(item, ["mouseenter", "mouseleave"]);
  return item;
}
