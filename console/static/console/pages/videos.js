// All videos, newest first; those that aren't finished change by themselves.

import { call } from "../common/api.js";
import { duration } from "../common/dom.js";
import { at, badge, dollars, moment, orSay, row, videoLink } from "./section.js";

const REFRESH_MS = 5000;
const OPEN = ["queued", "processing"];
const rows = new Map();
let cursor = null;

function rowOf(job) {
  const progress = OPEN.includes(job.status) ? ` ${job.progress} %` : "";
  const status = badge(`${job.status}`);
  status.append(progress);
  const seconds = job.output?.duration_seconds ?? job.input.audio?.duration_seconds;
  return row({ Video: videoLink(job), Status: status, Length: seconds ? duration(seconds) : "", Preset: `${job.input.preset}, ${job.input.resolution}`, Costs: dollars(job.usage.cost_usd), Created: moment(job.created_at) });
}

async function page(from) {
  const query = new URLSearchParams({ limit: 25, ...(at("status").value && { status: at("status").value }), ...(from && { cursor: from }) });
  return call("GET", `/jobs?${query}`);
}

async function show(from = null) {
  const found = await page(from);
  if (!from) {
    rows.clear();
    at("videos").replaceChildren();
  }
  for (const job of found.data) {
    rows.set(job.id, { job, drawn: rowOf(job) });
    at("videos").append(rows.get(job.id).drawn);
  }
  cursor = found.next_cursor;
  at("more").hidden = !cursor;
  at("none").hidden = rows.size > 0;
}

/** Read again what isn't finished, without moving what a person looks at. */
async function refresh() {
  const open = [...rows.values()].filter(({ job }) => OPEN.includes(job.status));
  if (!document.hidden) {
    for (const { job } of open.slice(0, 10)) {
      const now = await call("GET", `/jobs/${job.id}`);
      const drawn = rowOf(now);
      rows.get(job.id).drawn.replaceWith(drawn);
      rows.set(job.id, { job: now, drawn });
    }
  }
}

async function keepRefreshing() {
  await orSay(refresh);
  setTimeout(keepRefreshing, REFRESH_MS);
}

at("status").addEventListener("change", () => orSay(() => show()));
at("more").addEventListener("click", () => orSay(() => show(cursor)));
orSay(() => show());
setTimeout(keepRefreshing, REFRESH_MS);
