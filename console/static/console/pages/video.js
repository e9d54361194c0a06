// One video: its player or its error, what was requested, and when what happened.

import { call } from "../common/api.js";
import { duration } from "../common/dom.js";
import { Result } from "../common/result.js";
import { at, facts, moment, orSay } from "./section.js";

const { video: id } = at("section").dataset;

function describe(job) {
  const { input } = job;
  facts(at("input"), {
    Preset: input.preset,
    Resolution: input.resolution,
    Prompt: input.prompt,
    Seed: String(input.seed),
    Portrait: input.image && `${input.image.width} × ${input.image.height}`,
    Voice: input.audio && duration(input.audio.duration_seconds),
    "Second voice": input.audio_2 && duration(input.audio_2.duration_seconds),
    Metadata: Object.entries(job.metadata).map(([name, value]) => `${name}: ${value}`).join(", "),
    "Once more of": job.retry_of,
  });
  facts(at("times"), {
    Created: moment(job.created_at),
    Started: moment(job.started_at),
    Ended: moment(job.finished_at),
    "Files kept until": job.expired ? "removed" : moment(job.expires_at),
  });
}

async function show() {
  const job = await call("GET", `/jobs/${id}`);
  const result = new Result(job, {
    retried: (other) => { location.href = `/console/videos/${other.id}`; },
    again: () => { location.href = "/playground"; },
    changed: describe,
    mayChange: at("section").dataset.mayChange === "yes",
  });
  at("video").replaceChildren(result.root);
  await result.follow();
}

at("delete")?.addEventListener("click", () =>
  orSay(async () => {
    if (!confirm("Delete the video's files? This can't be undone.")) return;
    await call("DELETE", `/jobs/${id}`);
    location.href = "/console/videos";
  }),
);
orSay(show);
