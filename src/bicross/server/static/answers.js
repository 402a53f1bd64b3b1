// An answer that a chat model writes from the first results, with citations that lead to them.

import { lines, posted } from "./api.js";
import { $, el, many } from "./dom.js";
import { app } from "./state.js";

const FROM = 5; // passages

let source = null; // the result that an answer is written from, and what aborts with its search

export function clearAnswer() {
  $("answer-text").textContent = "";
}

export function offerAnswer(result, signal) {
  source = { result, signal };
  const { chat } = app.info;
  $("answer").hidden = result.hits.length === 0;
  $("ask").hidden = !chat.model;
  if (!chat.model) $("columns").after($("answer"));
  $("answer-note").textContent = chat.model ? "" : chat.how;
}

export async function ask() {
  const { result, signal } = source;
  const hits = result.hits.slice(0, FROM);
  const box = $("answer-text");
  $("ask").disabled = true;
  $("answer-note").textContent = `${app.info.chat.model} reads ${many(hits.length, "passage")} …`;
  clearAnswer();
  try {
    const body = { query: result.query, ids: hits.map((hit) => hit.id), setup: result.setup };
    await lines(await posted("/api/answer", body, signal), (event) => {
      if (event.delta) box.textContent += event.delta;
      else if (event.error) $("answer-note").textContent = event.error;
      else finish(box, event, hits.length);
    });
  } catch (error) {
    if (error.name !== "AbortError") $("answer-note").textContent = error.message;
  } finally {
    $("ask").disabled = false;
  }
}

function finish(box, { cited, unknown }, count) {
  const parts = box.textContent.split(/(\[\d{1,3}\])/);
  box.replaceChildren(...parts.map((part) => {
    const number = /^\[(\d+)\]$/.exec(part)?.[1];
    return number && number >= 1 && number <= count ? citation(Number(number), part) : part;
  }));
  const notes = [cited.length ? `Cites ${cited.map((n) => `[${n}]`).join(" ")}.` : "It cites no passage: don’t rely on it."];
  if (unknown.length) notes.push(`${unknown.map((n) => `[${n}]`).join(" ")} stands for no passage.`);
  $("answer-note").textContent = notes.join(" ");
}

function citation(number, text) {
  const id = `hit-0-${number}`;
  const follow = (event) => {
    event.preventDefault(); // another address would be another search, and its answer gone
    $(id)?.focus();
  };
  return el("a", { href: `#${id}`, text, onclick: follow });
}
