// Two searches side by side: what each asks for, and how the second differs from the first.

import { $ } from "./dom.js";
import { app, filterOf, firstSetup, secondSetup } from "./state.js";

export const STAGES = { dense: "Dense", bm25: "BM25", hybrid: "Hybrid" };

export function asked() {
  const { state } = app;
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
  const first = body(firstSetup(), state.stage, state.rerank);
  return state.compare ? [first, body(secondSetup(), state.stage2, state.rerank2)] : [first];
}

export function settleSecond() {
  const { state } = app;
  const second = secondSetup();
  state.stage2 = second.first_stages.includes(state.stage2) ? state.stage2 : null;
  for (const option of $("stage2").options) option.disabled = !second.first_stages.includes(option.value);
  $("stage2").value = state.stage2 ?? second.first_stages[0];
  $("rerank2").disabled = !second.cross_encoder;
  $("rerank2").checked = state.rerank2 && Boolean(second.cross_encoder);
  $("compare").checked = state.compare;
  $("other").hidden = !state.compare;
}

export function heading(result, index, all) {
  const name = `${result.setup} · ${STAGES[result.first_stage]}${result.reranked ? " + rerank" : ""}`;
  if (index === 0) return name;
  const left = new Set(all[0].hits.map((hit) => hit.id));
  return `${name} · ${result.hits.filter((hit) => left.has(hit.id)).length} of ${result.hits.length} in common`;
}

export function placeOnTheLeft(hit, all) {
  const twin = all[0].hits.find((other) => other.id === hit.id);
  return twin ? `${twin.rank} on the left` : "not on the left";
}
