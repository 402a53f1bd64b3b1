// Files that are sent, and how far their indexing is.

import { bearer, Failure, json, reason } from "./api.js";
import { $, el, many } from "./dom.js";
import { search } from "./search.js";
import { refresh } from "./settings.js";
import { app, isOpen } from "./state.js";

const POLL_MS = 400;
const FULL_MS = 3000; // until a server that has enough to do is asked again
const SHOWN = 8;

const sending = new Map(); // uploads that aren't jobs yet, by name
let polling = 0;

export async function send(files) {
  for (const file of files) {
    const entry = { name: file.name, state: "sending", done: 0, total: file.size };
    sending.set(file.name, entry);
    drawJobs();
    try {
      await deliver(file, entry);
      sending.delete(file.name);
      // A small file may be indexed before the page asks for the first time; until then it counts as open.
      if (entry.arrived) app.jobs = [{ ...entry.arrived, state: "waiting" }, ...app.jobs];
    } catch (error) {
      Object.assign(entry, { state: "failed", error: error.message });
      drawJobs();
      announce([entry]);
    }
    await poll(); // its row becomes the job's without a gap
  }
}

async function deliver(file, entry) {
  const most = app.info.uploads.bytes;
  if (file.size > most) throw new Failure(413, `It has ${(file.size / 2 ** 20).toFixed(1)} MiB; a file may have ${most / 2 ** 20} MiB.`);
  while (!entry.unwanted && !entry.arrived) {
    try {
      entry.arrived = await sent(file, entry);
    } catch (error) {
      if (error.status !== 429) throw error;
      entry.waits = true;
      drawJobs();
      await new Promise((done) => setTimeout(done, FULL_MS));
      entry.waits = false;
    }
  }
  // Breaking it off wouldn't do: what has arrived by then is indexed all the same.
  if (entry.unwanted && entry.arrived) await cancel(entry.arrived);
}

function sent(file, entry) {
  // fetch doesn't tell how much has been sent.
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/index?name=${encodeURIComponent(file.name)}`);
    for (const [name, value] of Object.entries(bearer())) request.setRequestHeader(name, value);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      entry.done = event.loaded;
      drawJobs();
    };
    request.onload = () => {
      if (request.status === 202) done(JSON.parse(request.responseText));
      else failed(new Failure(request.status, reason(request.status, request.responseText)));
    };
    request.onerror = () => failed(new Failure(0, "The file can't be sent. Can it be read, and is the server running?"));
    request.send(file);
  });
}

export async function poll() {
  clearTimeout(polling);
  const open = new Set(app.jobs.filter(isOpen).map((job) => job.id));
  try {
    app.jobs = (await json("/api/index")).jobs;
    drawJobs();
    const ended = app.jobs.filter((job) => !isOpen(job) && open.has(job.id));
    if (ended.length) {
      announce(ended);
      await refresh();
      search();
    }
  } catch {
    polling = setTimeout(poll, 5 * POLL_MS);
    return;
  }
  if (app.jobs.some(isOpen)) polling = setTimeout(poll, POLL_MS);
}

// Rows change without a word; those who hear the page are told how each ended.
function announce(ended) {
  $("ended").textContent = ended.map((job) => `${job.name}: ${said(job)}`).join(" ");
}

function drawJobs() {
  const rows = [...sending.values(), ...app.jobs.slice(0, SHOWN)];
  const list = $("jobs");
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((job, i) => {
    // A row that only moves on keeps its button, so that it can be clicked.
    const old = list.children[i];
    const key = `${job.id ?? "new"} ${job.name} ${job.state}`;
    if (old?.dataset.key === key) return fillRow(old, job);
    const made = row(job, key);
    return old ? old.replaceWith(made) : list.append(made);
  });
}

function row(job, key) {
  const head = el("div", { class: "line" }, el("span", { text: job.name }));
  const made = el("li", { class: `job ${job.state}`, "data-key": key }, head);
  if (job.state === "sending" || isOpen(job)) {
    head.append(el("button", { type: "button", class: "quiet", text: "Cancel", "aria-label": `Cancel ${job.name}`, onclick: () => cancel(job) }));
    made.append(el("progress", { "aria-label": `Progress of ${job.name}` }));
  }
  made.append(el("p", { class: "note" }));
  fillRow(made, job);
  return made;
}

function fillRow(made, job) {
  const bar = made.querySelector("progress");
  if (bar && job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else bar?.removeAttribute("value");
  made.querySelector(".note").textContent = said(job);
}

function said(job) {
  if (job.state === "failed") return job.error;
  if (job.unwanted) return "Will be cancelled as soon as it has arrived.";
  if (job.waits) return "Waits until the server takes more.";
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
