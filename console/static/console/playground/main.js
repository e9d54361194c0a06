// The playground: what is chosen, its check, and the videos made of it.

import { call, identity, Refusal } from "../common/api.js";
import { LANGUAGES } from "./code.js";
import { duration, element } from "../common/dom.js";
import { keep, load } from "./draft.js";
import { Portrait } from "./portrait.js";
import { Result } from "../common/result.js";
import { Voice } from "./voice.js";

const CHECK_AFTER_MS = 500;
const SHOWN_RESULTS = 4;
const PICTURE_WARNINGS = ["no_face_found", "several_faces", "face_near_edge", "face_too_small", "reference_small"];
const VOICE_WARNINGS = ["channels_cancel", "separate_speakers", "length_estimated"];

const at = (id) => document.getElementById(id);
const root = at("playground");
const { sampleVoice } = root.dataset;

const portrait = new Portrait(changed);
const voice = new Voice("voice", sampleVoice, changed);
const second = new Voice("voice-2", sampleVoice, changed);
const results = [];
let plan = null;
let estimate = null;
let restoring = true;
let idempotencyKey = crypto.randomUUID();
let checking = new AbortController();
let checkTimer;
let language = Object.keys(LANGUAGES)[0];

// --- What is asked for ---

/** Text fields of the request that differ from the defaults. */
function fields() {
  const chosen = {};
  for (const name of ["preset", "resolution"]) {
    const picked = document.querySelector(`[name=${name}]:checked`);
    if (picked) chosen[name] = picked.value;
  }
  if (at("prompt").value.trim()) chosen.prompt = at("prompt").value.trim();
  if (at("seed").value.trim()) chosen.seed = at("seed").value.trim();
  Object.assign(chosen, voice.fields, at("two").checked ? second.fields : {});
  if (at("two").checked) {
    chosen.speaking_order = at("speaking_order").value;
    chosen.speaker_boxes = JSON.stringify(portrait.boxes.map(rounded));
  }
  return chosen;
}

function files() {
  const chosen = {};
  if (portrait.file) chosen[portrait.field] = portrait.file;
  if (voice.file) chosen.audio = voice.file;
  if (at("two").checked && second.file) chosen.audio_2 = second.file;
  return chosen;
}

function request() {
  const body = new FormData();
  for (const [name, file] of Object.entries(files())) body.set(name, file, file.name);
  for (const [name, value] of Object.entries(fields())) body.set(name, value);
  return body;
}

function rounded(box) {
  const cut = (value) => Math.floor(value * 10000) / 10000;
  return { x: cut(box.x), y: cut(box.y), width: cut(box.width), height: cut(box.height) };
}

function isComplete() {
  return portrait.file && voice.isComplete && (!at("two").checked || second.isComplete);
}

function isKnown() {
  return Boolean(identity.key || identity.organization);
}

// --- The check before sending ---

function changed() {
  idempotencyKey = crypto.randomUUID();
  checking.abort();
  estimate = null;
  showState();
  writeCode();
  if (restoring) return;
  keepDraft();
  clearTimeout(checkTimer);
  checkTimer = setTimeout(check, CHECK_AFTER_MS);
}

async function check() {
  clearErrors();
  if (!isComplete() || !isKnown()) return;
  checking = new AbortController();
  const { signal } = checking;
  at("hint").textContent = "Checking…";
  try {
    estimate = await call("POST", "/estimates", { body: request(), signal });
  } catch (error) {
    if (signal.aborted) return;
    showRefusal(error);
  }
  showState();
}

function showState() {
  const faces = estimate?.faces ?? [];
  if (portrait.file) {
    portrait.draw(faces, estimate?.input.crop);
    portrait.askForSpeakers(at("two").checked, faces);
  }
  const warnings = estimate?.warnings ?? [];
  list("portrait-warnings", warnings, PICTURE_WARNINGS);
  list("voice-warnings", warnings, VOICE_WARNINGS);
  at("make").disabled = !estimate;
  at("make").textContent = "Make the video";
  at("facts").replaceChildren();
  if (!estimate) {
    at("hint").textContent = hint();
    return;
  }
  const cost = Number(estimate.estimated_cost_usd);
  const facts = {
    Length: `${duration(estimate.duration_seconds)}, in ${estimate.windows} ${estimate.windows === 1 ? "window" : "windows"}`,
    Price: cost ? `$${cost.toFixed(2)}` : "nothing",
    "Place in the queue": estimate.queue_position ?? "no worker is there yet",
    "Done in about": estimate.eta_seconds == null ? `${duration(estimate.estimated_seconds)} of rendering` : duration(estimate.eta_seconds),
    Setting: `${estimate.input.preset}, ${estimate.input.resolution}`,
  };
  at("facts").append(...Object.entries(facts).flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]));
  if (estimate.livemode) at("make").textContent = `Make the video for $${cost.toFixed(2)}`;
  at("hint").textContent = estimate.livemode ? "Live mode: this is charged." : "Test mode: free, marked PREVIEW.";
}

function hint() {
  if (!portrait.file || !voice.isComplete) return "Choose a portrait and a voice.";
  if (!isComplete()) return "Choose the second voice, too.";
  return isKnown() ? "" : "Log in or enter a test key above; what you chose stays.";
}

function list(id, warnings, codes) {
  const lines = warnings.filter(({ code }) => codes.includes(code)).map(({ detail }) => element("li", { text: detail }));
  at(id).replaceChildren(...lines);
}

// --- Errors, at the field they belong to ---

function clearErrors() {
  at("problem").hidden = true;
  for (const error of root.querySelectorAll("[data-field] .error")) error.hidden = true;
  for (const input of root.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

function showRefusal(refusal) {
  if (!(refusal instanceof Refusal)) throw refusal;
  const elsewhere = refusal.errors.filter((error) => !showAtField(error));
  if (refusal.errors.length && !elsewhere.length) {
    at("hint").textContent = "Something has to be changed, see the red lines.";
    return;
  }
  at("problem").textContent = elsewhere.length ? elsewhere.map(({ detail }) => detail).join(" ") : refusal.message;
  at("problem").hidden = false;
}

function showAtField({ field, detail }) {
  const name = field.split(/[.[]/)[0];
  const place = root.querySelector(`[data-field~="${name}"]`);
  const error = place?.querySelector(".error");
  if (!error) return false;
  error.textContent = detail;
  error.hidden = false;
  place.closest("details")?.setAttribute("open", "");
  place.querySelector("input:not([type=file]), textarea, select")?.setAttribute("aria-invalid", "true");
  return true;
}

// --- Videos ---

async function make() {
  clearErrors();
  at("make").disabled = true;
  at("hint").textContent = "Sending…";
  try {
    show(await call("POST", "/jobs", { body: request(), headers: { "Idempotency-Key": idempotencyKey } }));
    idempotencyKey = crypto.randomUUID();
  } catch (error) {
    showRefusal(error);
  }
  showState();
}

function show(job) {
  const result = new Result(job, {
    retried: show,
    again: (seed) => {
      at("seed").value = seed;
      at("options").open = true;
      at("seed").focus();
      changed();
    },
  });
  results.unshift(result);
  at("results").prepend(result.root);
  at("results-section").hidden = false;
  while (results.length > SHOWN_RESULTS) results.pop().close();
  keep("jobs", results.map((one) => one.job.id));
  result.follow();
}

async function showKept(ids) {
  for (const id of [...ids].reverse()) {
    try {
      show(await call("GET", `/jobs/${id}`));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      console.info(`${id} can't be shown:`, error.message);
    }
  }
}

// --- For whom ---

async function become() {
  plan = null;
  at("plan").textContent = "";
  if (!isKnown()) return;
  try {
    ({ plan } = await call("GET", "/me"));
    const { data } = await call("GET", "/voices");
    for (const one of [voice, second]) one.offer(data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    at("plan").textContent = error.message;
    return;
  }
  const { limits } = plan;
  at("plan").textContent = `Plan ${plan.name}: up to ${duration(limits.max_speech_seconds)} of speech, files up to ${Math.round(limits.max_upload_bytes / 1e6)} MB.`;
  limitTo("preset", limits.presets);
  limitTo("resolution", limits.resolutions);
}

/** What the plan doesn't have can be seen and not chosen. */
function limitTo(name, offered) {
  for (const input of document.querySelectorAll(`[name=${name}]`)) {
    input.disabled = !offered.includes(input.value);
    input.closest("label").title = input.disabled ? "Not in this plan" : "";
    if (input.disabled) input.checked = false;
  }
}

async function enterKey() {
  const text = at("key").value.trim();
  const error = at("key-error");
  error.hidden = !text || text.startsWith("av_test_");
  error.textContent = text.startsWith("av_live_") ? "A live key doesn't belong into a browser. Use a test key." : "A test key begins with av_test_.";
  identity.key = error.hidden ? text : "";
  await become();
  changed();
}

async function chooseTenant() {
  identity.organization = at("organization").value;
  identity.mode = at("mode").value;
  changed(); // The estimate of the other mode has another price: nothing may be sent by it while the plan is read.
  await become();
  changed();
}

// --- Code ---

function writeCode() {
  const names = Object.fromEntries(Object.entries(files()).map(([name, file]) => [name, file.name]));
  const shown = isComplete() ? names : { image: "portrait.jpg", audio: "speech.mp3" };
  at("code-text").textContent = LANGUAGES[language](root.dataset.api, shown, fields());
}

function makeTabs() {
  for (const name of Object.keys(LANGUAGES)) {
    const tab = element("button", { type: "button", role: "tab", text: name, "aria-selected": String(name === language), "aria-controls": "code-text" });
    tab.addEventListener("click", () => {
      language = name;
      for (const other of at("code-tabs").children) other.setAttribute("aria-selected", String(other === tab));
      writeCode();
    });
    at("code-tabs").append(tab);
  }
  at("code-copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(at("code-text").textContent);
    at("code-copied").textContent = "Copied. Put your key into the environment variable AVATAR_API_KEY.";
  });
}

// --- What was there before ---

const KEPT_FIELDS = ["prompt", "seed", "speaking_order"];

function keepDraft() {
  keep("portrait", portrait.file && { file: portrait.file, boxes: portrait.boxes });
  keep("voice", voice.kept);
  keep("second", second.kept);
  const values = Object.fromEntries(KEPT_FIELDS.map((name) => [name, at(name).value]));
  for (const name of ["preset", "resolution"]) values[name] = document.querySelector(`[name=${name}]:checked`)?.value;
  keep("fields", { ...values, two: at("two").checked });
}

async function restore() {
  const [kept, first, other, values, jobs] = await load("portrait", "voice", "second", "fields", "jobs");
  if (values) {
    for (const name of KEPT_FIELDS) at(name).value = values[name] ?? "";
    for (const name of ["preset", "resolution"]) {
      const input = document.querySelector(`[name=${name}][value="${values[name]}"]:enabled`);
      if (input) input.checked = true;
    }
    at("two").checked = values.two;
    at("second").hidden = !values.two;
  }
  if (kept) portrait.choose(kept.file, kept.boxes);
  if (first) voice.restore(first);
  if (other) second.restore(other);
  if (jobs && isKnown()) await showKept(jobs);
  restoring = false;
  changed();
}

async function begin() {
  makeTabs();
  at("two").addEventListener("change", () => {
    at("second").hidden = !at("two").checked;
    changed();
  });
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
  for (const id of [...KEPT_FIELDS, "presets", "resolutions"]) at(id).addEventListener("change", changed);
  at("key")?.addEventListener("change", enterKey);
  if (at("organization")) {
    at("organization").addEventListener("change", chooseTenant);
    at("mode").addEventListener("change", chooseTenant);
    identity.organization = at("organization").value;
    identity.mode = at("mode").value;
    await become();
  }
  await restore();
}

begin();
