// The search page: its start, its keys, and who is told of what.

import { ask } from "./answers.js";
import { $ } from "./dom.js";
import { poll, send } from "./files.js";
import { layOut } from "./results.js";
import { fail, search } from "./search.js";
import { changed, listenToSettings, refresh } from "./settings.js";
import { app, keep, read } from "./state.js";

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { target } = event;
  const typing = target.matches("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
  const cards = [...document.querySelectorAll(".hits .hit")];
  const at = cards.indexOf(target.closest?.(".hits .hit"));
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
  else if (event.key === "Enter" && target === cards[at]) target.querySelector("button:not([hidden])")?.click();
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    app.state.q = $("query").value;
    keep(false);
    search();
  });
  $("ask").addEventListener("click", ask);
  $("files").addEventListener("change", () => {
    take([...$("files").files]);
    $("files").value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    $("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("keydown", keys);
  window.addEventListener("popstate", () => {
    app.state = read();
    $("query").value = app.state.q;
    changed();
  });
  new ResizeObserver(layOut).observe($("columns"));
}

async function take(files) {
  await started;
  if (app.info) send(files);
}

async function start() {
  if (window.matchMedia("(max-width: 760px)").matches) $("settings").open = false;
  try {
    await refresh();
  } catch (error) {
    fail(error, start);
    return;
  }
  const { bytes, suffixes } = app.info.uploads;
  $("files").setAttribute("accept", suffixes.join(","));
  $("files-note").textContent = `${suffixes.join(" ")}, up to ${bytes / 2 ** 20} MiB each. Or drop them here.`;
  await poll();
  search();
}

$("query").value = app.state.q;
listenToSettings();
listen();
const started = start();
