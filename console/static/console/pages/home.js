// The console's first page: what is being made, what the month has taken, and what failed.

import { call } from "../common/api.js";
import { duration, element } from "../common/dom.js";
import { at, badge, dollars, figure, moment, orSay, row, videoLink } from "./section.js";

const REFRESH_MS = 5000;

async function show() {
  const [me, usage, open, failed] = await Promise.all([
    call("GET", "/me"),
    call("GET", "/usage"),
    call("GET", "/jobs?status=queued&status=processing&limit=20"),
    call("GET", "/jobs?status=failed&limit=5"),
  ]);
  const { limits, left, name } = me.plan;
  const { total } = usage;
  const rest = left.video_seconds_this_month;
  at("figures").replaceChildren(
    figure("Video", duration(total.video_seconds), rest == null ? "test mode has no monthly limit" : `${duration(rest)} left of ${duration(limits.video_seconds_per_month)}`),
    figure("Costs", dollars(total.cost_usd), `plan ${name}`),
    figure("Videos", String(total.jobs), `${limits.concurrent_jobs} at once, ${limits.queued_jobs} may wait`),
  );
  at("open").replaceChildren(...open.data.map((job) => row({ Video: videoLink(job), Status: badge(job.status), Progress: `${job.progress} %`, Created: moment(job.created_at) })));
  at("open-none").hidden = open.data.length > 0;
  at("failed").replaceChildren(
    ...(failed.data.length ? failed.data.map((job) => element("li", {}, videoLink(job), ` ${job.error.detail}`)) : [element("li", { class: "soft", text: "None." })]),
  );
}

async function keepShowing() {
  await orSay(show);
  setTimeout(keepShowing, REFRESH_MS);
}

keepShowing();
