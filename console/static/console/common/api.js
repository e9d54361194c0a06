// How the page speaks to the API: as the signed-in person, or with a test key that only this page knows.

const token = document.querySelector("main [name=csrfmiddlewaretoken]").value;

/** For whom the page acts; a key takes the place of the person. */
export const identity = { key: "", organization: "", mode: "" };

/** An answer that isn't a success: the problem document, or what stands for it when there was no answer. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered with ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.errors = problem.errors ?? [];
  }
}

/** Send one request below /v1. Throws: Refusal. */
export async function call(method, path, { body, headers = {}, signal } = {}) {
  const answer = await send(method, path, { body, headers, signal });
  return answer.status === 204 ? null : answer.json();
}

/** Call `onJob` with each state of a job until it has ended; goes on after lost connections. Throws: Refusal. */
export async function follow(jobId, onJob, signal) {
  let last = "";
  while (!signal.aborted) {
    try {
      const answer = await send("GET", `/jobs/${jobId}/events`, {
        headers: last ? { "Last-Event-ID": last } : {},
        signal,
      });
      if (answer.status === 204) return onJob(await call("GET", `/jobs/${jobId}`, { signal }));
      for await (const event of eventsOf(answer.body)) {
        last = event.id || last;
        onJob(JSON.parse(event.data));
        if (event.event === "done") return undefined;
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      const passes = !(error instanceof Refusal) || error.status === 0 || error.status === 429 || error.status >= 500;
      if (!passes) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
  return undefined;
}

async function send(method, path, { body, headers, signal }) {
  let answer;
  try {
    answer = await fetch(`/v1${path}`, {
      method,
      body,
      signal,
      headers: { ...headers, ...credentials() },
      credentials: identity.key ? "omit" : "same-origin",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, { detail: "The server can't be reached. Check your connection and try again." });
  }
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

function credentials() {
  if (identity.key) return { Authorization: `Bearer ${identity.key}` };
  const chosen = { "X-CSRFToken": token };
  if (identity.organization) chosen["X-Organization"] = identity.organization;
  if (identity.mode) chosen["X-Mode"] = identity.mode;
  return chosen;
}

async function* eventsOf(body) {
  let text = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      }
      if (event.data) yield event;
    }
  }
}
