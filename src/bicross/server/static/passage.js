// A passage's text, with its best sentence marked.

import { el } from "./dom.js";

// `view`: "whole"; "short", which begins at most a few lines before the sentence; "sentence", which begins with it.
export function passage(hit, view = "short") {
  // The server counts characters as Python does: by code points.
  const points = Array.from(unwrapped(hit.text));
  const node = el("p", { class: "text" });
  const ground = hit.grounding;
  let from = 0;
  const before = ground ? points.slice(0, ground.start) : [];
  if (ground && view === "sentence") from = ground.start;
  else if (ground && view === "short" && (before.length > 220 || before.filter((point) => point === "\n").length > 3)) {
    from = Math.max(ground.start - 90, 0);
    while (from > 0 && !/\s/.test(points[from - 1]) && from > ground.start - 130) from -= 1;
  }
  const text = (start, end) => points.slice(start, end).join("");
  while (from < before.length && /\s/.test(points[from])) from += 1;
  if (from) {
    node.dataset.cut = "1";
    node.append("… ");
  }
  if (ground) node.append(text(from, ground.start), el("mark", { text: text(ground.start, ground.end) }), text(ground.end));
  else node.append(text(0));
  return node;
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
