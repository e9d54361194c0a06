// One voice: chosen, dropped or recorded, with its length and level; played back and recorded again.

import { duration, element, sampleFile, takeDrops } from "../common/dom.js";
import { reasonOf } from "./portrait.js";

// What browsers record: Chrome and Firefox the first or second, Safari the third.
const RECORDED = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const QUIET_DECIBELS = -40;

export class Voice {
  /** Builds itself below the element `id`; `onChange` is called when there is another file. */
  constructor(id, sample, onChange) {
    this.file = null;
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
    this.place.append(drop, element("div", { class: "row" }, this.record, sampleButton), this.level, this.player, this.said, this.error);
  }

  async choose(file) {
    this.file = file;
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
