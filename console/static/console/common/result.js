// One video of the page: its progress, its beginning while the end is rendered, and what can be done with it.

import { call, follow, Refusal } from "./api.js";
import { duration, element } from "./dom.js";

const STAGES = {
  waiting: "waits for a worker",
  fetching: "files are fetched",
  speaking: "speech is made",
  starting: "a worker starts",
  encoding: "the voice is read",
  sampling: "rendering",
  decoding: "rendering",
  uploading: "saving",
};

export class Result {
  /**
   * `actions`: `again(seed)` and `retried(job)`, called when a person wants another video; `changed(job)`, called
   * with each state; `mayChange`, false for people who may only look.
   */
  constructor(job, actions) {
    this.actions = actions;
    this.mayChange = actions.mayChange ?? true;
    this.stopping = new AbortController();
    this.title = element("h3");
    this.video = element("video", { controls: true, playsinline: true, hidden: true, "aria-label": "The video" });
    this.progress = element("progress", { max: 100, value: 0, "aria-label": "Progress" });
    this.said = element("p", { class: "small", role: "status" });
    this.buttons = element("div", { class: "row" });
    this.receipt = element("dl", { class: "facts small" });
    this.details = element("details", { hidden: true }, element("summary", { text: "Receipt" }), this.receipt);
    this.root = element("article", { class: "card result stack tight" }, this.title, this.video, this.progress, this.said, this.buttons, this.details);
    this.show(job);
  }

  /** Show the job until it has ended. */
  async follow() {
    try {
      await follow(this.job.id, (job) => this.show(job), this.stopping.signal);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.say(error.message, true);
    }
  }

  close() {
    this.stopping.abort();
    this.player?.destroy();
    this.root.remove();
  }

  show(job) {
    this.job = job;
    this.actions.changed?.(job);
    const ended = !["queued", "processing"].includes(job.status);
    this.title.textContent = `${job.input.preset}, ${job.input.resolution}, seed ${job.input.seed}`;
    this.progress.hidden = ended;
    this.progress.value = job.progress;
    this.say(...spoken(job));
    if (job.stream_url && !this.player && !this.video.src) this.play(job.stream_url);
    if (job.output && !this.player) this.playFile(job.output);
    if (ended) this.conclude();
    else if (this.mayChange) this.buttons.replaceChildren(this.button("Cancel", () => this.act("POST", "/cancel")));
  }

  say(text, bad = false) {
    this.said.textContent = text;
    this.said.classList.toggle("bad", bad);
  }

  /** Play the beginning while the end is rendered. */
  play(address) {
    if (!window.Hls?.isSupported()) {
      this.video.src = address;
    } else {
      this.player = new window.Hls({ enableWorker: false });
      this.player.loadSource(address);
      this.player.attachMedia(this.video);
    }
    this.video.hidden = false;
    this.video.muted = true;
    this.video.play().catch((error) => console.info("The player waits for a click:", error.message));
  }

  playFile(output) {
    this.video.src = output.url;
    this.video.poster = output.thumbnail_url ?? "";
    this.video.hidden = false;
  }

  conclude() {
    const { output, status, usage, receipt } = this.job;
    const links = output
      ? [
          element("a", { class: "button primary little", href: output.url, download: `${this.job.id}.mp4`, text: "Download" }),
          element("a", { class: "button little", href: output.thumbnail_url, download: `${this.job.id}.jpg`, text: "Thumbnail" }),
        ]
      : [];
    const seed = this.job.input.seed;
    this.buttons.replaceChildren(
      ...links,
      ...(this.mayChange
        ? [
            this.button("Same seed again", () => this.actions.again(seed)),
            this.button(status === "succeeded" ? "Render once more" : "Try again", () => this.retry()),
          ]
        : []),
    );
    const facts = {
      Job: this.job.id,
      Length: output && duration(output.duration_seconds),
      Picture: output && `${output.width} × ${output.height}`,
      Costs: usage && `$${Number(usage.cost_usd).toFixed(2)}, ${duration(usage.gpu_seconds)} of a worker`,
      Engine: receipt && `${receipt.engine} on ${receipt.device}`,
      "Kept until": this.job.expires_at && new Date(this.job.expires_at).toLocaleString(),
    };
    this.receipt.replaceChildren(
      ...Object.entries(facts).filter(([, value]) => value).flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]),
    );
    this.details.hidden = false;
  }

  button(text, onclick) {
    return element("button", { type: "button", class: "little", text, onclick });
  }

  async act(method, path) {
    try {
      return await call(method, `/jobs/${this.job.id}${path}`, { headers: { "Idempotency-Key": crypto.randomUUID() } });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.say(error.message, true);
      return null;
    }
  }

  async retry() {
    const job = await this.act("POST", "/retry");
    if (job) this.actions.retried(job);
  }
}

/** A job as a sentence, and whether it is bad news. */
function spoken(job) {
  if (job.status === "succeeded") return [`Done: ${duration(job.output?.duration_seconds ?? 0)} of video.`];
  if (job.status === "canceled") return ["Canceled."];
  if (job.status === "failed") return [job.error.detail, true];
  const parts = [STAGES[job.stage] ?? job.stage];
  if (job.queue_position) parts.push(`place ${job.queue_position} in the queue`);
  if (job.status === "processing" && job.window) parts.push(`window ${job.window.current} of ${job.window.total}`);
  if (job.eta_seconds != null) parts.push(`about ${duration(job.eta_seconds)} left`);
  const text = parts.join(", ");
  return [text.charAt(0).toUpperCase() + text.slice(1)];
}
