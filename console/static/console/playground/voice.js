// One voice: a recording, chosen, dropped or made here, with its length and level; or a text and who says it.

import { duration, element, sampleFile, takeDrops } from "../common/dom.js";
import { reasonOf } from "./portrait.js";

// What browsers record: Chrome and Firefox the first or second, Safari the third.
const RECORDED = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const QUIET_DECIBELS = -40;

export class Voice {
  /** Builds itself below the element `id`; `onChange` is called when there is another file. */
  constructor(id, sample, onChange) {
    this.file = null;
    this.ending = id === "voice" ? "" : "_2"; // Of the fields of the request.
    this.onChange = onChange;
    this.place = document.getElementById(id);
    this.place.classList.add("voice");
    const input = element("input", { class: "unseen", type: "file", accept: "audio/*,video/*,.caf,.amr", id: `${id}-file` });
    input.addEventListener("change", () => input.files.length && this.choose(input.files[0]));
    const drop = element("label", { class: "drop" }, input, element("span", {}, element("strong", { text: "Choose a recording" }), " or drop it here."));
    takeDrops(drop, (file) => this.choose(file));
    this.record = element("button", { type: "button", text: "Record", onclick: () => this.toggle() });
    const sampleButton = element("button", { type: "button", class: "little", text: "Sample voice", onclick: async () => this.choose(await sampleFile(sample)) });
    this.bar = element("div");
    this.level = element("div", { class: "level", hidden: true, role: "img", "aria-label": "Level of the microphone" }, this.bar);
    this.player = element("audio", { controls: true, hidden: true, "aria-label": "Play the voice" });
    this.said = element("p", { class: "small soft", role: "status" });
    this.error = element("p", { class: "error", role: "alert", hidden: true });
    this.text = element("textarea", { id: `${id}-text`, rows: 3, placeholder: "Hello! [pause 0.5s] It is good to see you.", oninput: () => this.type() });
    this.speaker = element("select", { id: `${id}-speaker`, onchange: () => this.onChange() });
    this.sample = element("audio");
    this.hear = element("button", { type: "button", class: "little", text: "Hear it", onclick: () => this.playSample() });
    this.typing = element("div", { class: "stack tight", hidden: true },
      element("label", { for: `${id}-text`, text: "Or type what is said" }), this.text,
      element("label", { for: `${id}-speaker`, text: "Spoken by" }),
      element("div", { class: "row" }, this.speaker, this.hear));
    this.place.append(drop, element("div", { class: "row" }, this.record, sampleButton), this.level, this.player, this.said, this.typing, this.error);
  }

  /** Fields of the request with text. */
  get fields() {
    const text = this.text.value.trim();
    return text && !this.file ? { [`text${this.ending}`]: text, [`voice${this.ending}`]: this.speaker.value } : {};
  }

  get isComplete() {
    return Boolean(this.file || this.text.value.trim());
  }

  /** What is chosen, to be kept; `restore` takes it again. */
  get kept() {
    return this.file ?? { text: this.text.value, speaker: this.speaker.value };
  }

  restore(kept) {
    if (kept instanceof Blob) return this.choose(kept);
    this.text.value = kept.text;
    this.speaker.value = kept.speaker;
  }

  /** Let a text be typed where the API has voices. */
  offer(voices) {
    const chosen = this.speaker.value;
    this.samples = new Map(voices.map(({ id, sample_url: url }) => [id, url]));
    this.hear.hidden = !voices.some(({ sample_url: url }) => url);
    const names = new Intl.DisplayNames(["en"], { type: "language" });
    const manner = (id, engine) => engine === "espeak" ? "like a machine" : id.split("_").at(-1);
    this.speaker.replaceChildren(...voices.map(({ id, language, gender, engine }) =>
      element("option", { value: id, text: `${names.of(language)}, ${gender}, ${manner(id, engine)}` })));
    if (voices.some(({ id }) => id === chosen)) this.speaker.value = chosen;
    this.typing.hidden = !voices.length;
  }

  playSample() {
    this.sample.src = this.samples.get(this.speaker.value);
    this.sample.play();
  }

  /** A text takes the place of a recording. */
  type() {
    if (this.file) {
      this.file = null;
      this.player.hidden = true;
      this.said.textContent = "";
      this.record.textContent = "Record";
    }
    this.onChange();
  }

  async choose(file) {
    this.file = file;
    this.text.value = "";
    URL.revokeObjectURL(this.player.src);
    this.player.src = URL.createObjectURL(file);
    this.player.hidden = false;
    this.record.textContent = "Record again";
    this.onChange();
    this.said.textContent = `${file.name}${await measured(file)}`;
  }

  async toggle() {
    if (this.recorder?.state === "recording") this.recorder.stop();
    else await this.start();
  }

  async start() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, autoGainControl: true } });
    } catch (error) {
      this.said.textContent = `The microphone can't be used: ${reasonOf(error)}`;
      return;
    }
    const type = RECORDED.find((one) => MediaRecorder.isTypeSupported(one));
    const pieces = [];
    this.recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
    this.recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    const meter = new Meter(stream, this.bar);
    const began = Date.now();
    const clock = setInterval(() => { this.said.textContent = `Recording: ${duration((Date.now() - began) / 1000)}`; }, 200);
    this.recorder.addEventListener("stop", () => {
      clearInterval(clock);
      meter.close();
      for (const track of stream.getTracks()) track.stop();
      this.level.hidden = true;
      const kind = this.recorder.mimeType.split(";")[0];
      this.choose(new File(pieces, `recording.${{ "audio/mp4": "m4a", "audio/ogg": "ogg" }[kind] ?? "webm"}`, { type: kind }));
    });
    this.level.hidden = false;
    this.record.textContent = "Stop";
    this.recorder.start(1000);
  }
}

/** The level of a microphone, drawn as the width of a bar. */
class Meter {
  constructor(stream, bar) {
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    const samples = new Float32Array(this.analyser.fftSize);
    const draw = () => {
      this.analyser.getFloatTimeDomainData(samples);
      bar.style.width = `${Math.min(100, Math.max(0, 100 + 1.8 * decibels(samples)))}%`;
      this.frame = requestAnimationFrame(draw);
    };
    draw();
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.context.close();
  }
}

/** Length and level of a file as a sentence; empty where this browser can't read it, which says nothing of the API. */
async function measured(file) {
  const context = new OfflineAudioContext(1, 1, 44100);
  try {
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    const level = decibels(sound.getChannelData(0));
    const loudness = level < QUIET_DECIBELS ? "; hardly anything can be heard" : "";
    return `: ${duration(sound.duration)}${loudness}`;
  } catch (error) {
    console.info(`${file.name} can't be decoded here:`, error.message);
    return "";
  }
}

function decibels(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return 10 * Math.log10(sum / samples.length + 1e-12);
}
