// The state, which is the address, and what the server says of itself.

const COUNTS = [5, 10, 20];

export const app = {
  info: null, // the answer of /api/info
  state: read(),
  jobs: [], // the answer of /api/index
};

export const isOpen = (job) => ["waiting", "reading", "indexing"].includes(job.state);

export function read() {
  const given = new URLSearchParams(location.search);
  const whole = (name, least, most, other) => {
    const value = Number.parseInt(given.get(name), 10);
    return Number.isFinite(value) ? Math.min(Math.max(value, least), most) : other;
  };
  const count = Number(given.get("count"));
  const filters = new Map(); // values by field
  for (const [key, value] of given) {
    if (!key.startsWith("f.")) continue;
    const field = key.slice(2);
    filters.set(field, (filters.get(field) ?? new Set()).add(value));
  }
  return {
    q: given.get("q") ?? "",
    stage: given.get("stage"),
    rerank: given.get("rerank") !== "0",
    candidates: whole("candidates", 10, 200, 50),
    budget: whole("budget", 0, 2000, 0),
    count: COUNTS.includes(count) ? count : 10,
    setup: given.get("setup"),
    compare: given.get("compare") === "1",
    setup2: given.get("setup2"),
    stage2: given.get("stage2"),
    rerank2: given.get("rerank2") !== "0",
    filters,
  };
}

function address() {
  const { state } = app;
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
  for (const [field, values] of state.filters) for (const value of values) out.append(`f.${field}`, value);
  const query = out.toString();
  return location.pathname + (query ? `?${query}` : "");
}

export function keep(replace) {
  const next = address();
  if (next === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
}

const setupOf = (name) => app.info.setups.find((each) => each.name === name) ?? app.info.setups[0];

export const firstSetup = () => setupOf(app.state.setup);
export const secondSetup = () => setupOf(app.state.setup2 ?? app.info.setups.at(-1).name);

export function filterOf(setup) {
  const known = new Map(Object.entries(setup.facets));
  const conditions = [...app.state.filters].map(([field, chosen]) => {
    const typed = (text) => known.get(field)?.find(({ value }) => String(value) === text)?.value ?? text;
    const each = [...chosen].map((text) => ({ field: `meta.${field}`, operator: "==", value: typed(text) }));
    return each.length === 1 ? each[0] : { operator: "OR", conditions: each };
  });
  return conditions.length ? { operator: "AND", conditions } : null;
}
