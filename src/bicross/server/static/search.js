// Searching: what is asked is shown, or why it can't be.

import { posted } from "./api.js";
import { clearAnswer, offerAnswer } from "./answers.js";
import { asked } from "./compare.js";
import { $, el, many, time } from "./dom.js";
import { column, layOut } from "./results.js";
import { app, firstSetup, isOpen } from "./state.js";

let searching = null; // aborts the searches under way

export async function search() {
  if (!app.info) return;
  searching?.abort();
  $("problem").replaceChildren();
  clearAnswer();
  if (!app.state.q.trim()) {
    welcome();
    return;
  }
  const mine = (searching = new AbortController());
  $("status").textContent = "Searching …";
  for (const each of document.querySelectorAll(".column")) each.setAttribute("aria-busy", "true");
  try {
    const found = [];
    // One after the other: side by side, each would slow the other's time down.
    for (const body of asked()) found.push(await (await posted("/api/search", body, mine.signal)).json());
    if (searching === mine) show(found, mine.signal);
  } catch (error) {
    if (error.name !== "AbortError" && searching === mine) fail(error, search);
  }
}

function welcome() {
  const full = "Type a question. The first stage finds candidates among all passages; the cross-encoder reads each with your question and reorders them. You see who rose, who fell, and which sentence counted.";
  const bare = app.jobs.some(isOpen)
    ? "Files are being indexed. What is there already can be searched."
    : "Nothing is indexed yet. Add files beside this text, or start with a folder: bicross demo FOLDER";
  document.title = "bicross search";
  $("status").textContent = "";
  $("answer").hidden = true;
  $("columns").className = "";
  $("columns").replaceChildren(el("p", { class: "empty", text: firstSetup().passages ? full : bare }));
}

function show(found, signal) {
  document.title = `${app.state.q.slice(0, 60)} – bicross search`;
  $("status").textContent = summary(found[0]);
  $("columns").className = found.length > 1 ? "two" : "";
  $("columns").replaceChildren(...found.map((each, i) => column(each, i, found)));
  layOut();
  offerAnswer(found[0], signal);
}

function summary({ hits, candidates, reranked, milliseconds, truncated }) {
  if (!hits.length) return "No result.";
  const cut = truncated ? `; ${truncated} ${truncated === 1 ? "was" : "were"} longer than the cross-encoder reads` : "";
  return `${many(hits.length, "result")} of ${many(candidates, "candidate")}, ${reranked} reranked, in ${time(milliseconds.total)}${cut}`;
}

export function fail(error, again) {
  $("status").textContent = "";
  $("columns").replaceChildren();
  $("answer").hidden = true;
  const retry = error.status === 401 ? tokenForm(again) : el("button", { type: "button", text: "Try again", onclick: again });
  $("problem").replaceChildren(el("div", { class: "problem" }, el("p", { text: error.message }), retry));
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
