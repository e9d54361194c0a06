// The portrait: chosen, dropped, pasted or taken; with faces, crop and the speakers' boxes drawn on it.

import { element, sampleFile, takeDrops } from "../common/dom.js";

const STEP = 0.01;
const HALVES = [
  { x: 0, y: 0, width: 0.5, height: 1 },
  { x: 0.5, y: 0, width: 0.5, height: 1 },
];

export class Portrait {
  /** `onChange` is called when the file or a box has changed. */
  constructor(onChange) {
    this.file = null;
    this.boxes = [];
    this.onChange = onChange;
    this.stage = document.getElementById("stage");
    this.name = document.getElementById("portrait-name");
    const input = document.getElementById("portrait-file");
    input.addEventListener("change", () => input.files.length && this.choose(input.files[0]));
    takeDrops(document.getElementById("portrait-drop"), (file) => this.choose(file));
    document.addEventListener("paste", (event) => {
      const pasted = [...event.clipboardData.files].find((file) => /^(image|video)\//.test(file.type));
      if (pasted) this.choose(pasted);
    });
    for (const button of document.querySelectorAll("[data-sample]")) {
      button.addEventListener("click", async () => this.choose(await sampleFile(button.dataset.sample)));
    }
    new Camera((file) => this.choose(file));
  }

  get isVideo() {
    return this.file !== null && this.file.type.startsWith("video/");
  }

  /** The name of the API's field. */
  get field() {
    return this.isVideo ? "video" : "image";
  }

  choose(file, boxes = []) {
    this.file = file;
    this.boxes = boxes;
    this.show();
    this.onChange();
  }

  show() {
    URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(this.file);
    const seen = this.isVideo
      ? element("video", { src: this.address, muted: true, controls: true, playsinline: true, "aria-label": "The video" })
      : element("img", { src: this.address, alt: "The portrait" });
    seen.addEventListener("error", () => {
      this.stage.hidden = true;
      this.name.textContent = `${this.file.name}: this browser can't show it. The check says whether it can be used.`;
    });
    this.stage.replaceChildren(seen);
    this.stage.hidden = false;
    this.name.textContent = this.file.name;
  }

  /** Draw what the check found: faces and the part of the picture that will be seen. */
  draw(faces, crop) {
    for (const old of this.stage.querySelectorAll(".box:not(.speaker)")) old.remove();
    if (crop) this.stage.append(placed(element("div", { class: "box crop" }, label("shown")), crop));
    for (const face of this.boxes.length ? [] : faces) {
      const quietly = face.speaks ? "" : " quietly";
      this.stage.append(placed(element("div", { class: `box face${quietly}` }, label(face.speaks ? "speaks" : "face")), face));
    }
  }

  /** Let two boxes say where the speakers are, around these faces; or take them away. */
  askForSpeakers(two, faces = []) {
    if (two && this.boxes.length === 0) {
      const around = faces.slice(0, 2).sort((one, other) => one.x - other.x).map(withRoom);
      this.boxes = around.length === 2 ? around : structuredClone(HALVES);
    } else if (!two) {
      this.boxes = [];
    }
    this.drawSpeakers();
  }

  drawSpeakers() {
    for (const old of this.stage.querySelectorAll(".box.speaker")) old.remove();
    this.boxes.forEach((box, index) => this.stage.append(this.speakerBox(box, index)));
  }

  speakerBox(box, index) {
    const name = index === 0 ? "First speaker" : "Second speaker";
    const handle = element("i");
    const drawn = element("div", { class: "box speaker", tabindex: 0, role: "group", "aria-label": `${name}: arrow keys move the box` }, label(name), handle);
    const change = (dx, dy, resize) => {
      if (resize) {
        box.width = within(box.width + dx, 0.05, 1 - box.x);
        box.height = within(box.height + dy, 0.05, 1 - box.y);
      } else {
        box.x = within(box.x + dx, 0, 1 - box.width);
        box.y = within(box.y + dy, 0, 1 - box.height);
      }
      placed(drawn, box);
    };
    drawn.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
      if (!(event.key in moves)) return;
      event.preventDefault();
      change(...moves[event.key], event.shiftKey);
      this.onChange();
    });
    drawn.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      drawn.focus();
      drawn.setPointerCapture(event.pointerId);
      const resize = event.target === handle;
      let [x, y] = [event.clientX, event.clientY];
      const move = (at) => {
        const { width, height } = this.stage.getBoundingClientRect();
        change((at.clientX - x) / width, (at.clientY - y) / height, resize);
        [x, y] = [at.clientX, at.clientY];
      };
      drawn.addEventListener("pointermove", move);
      drawn.addEventListener("pointerup", () => {
        drawn.removeEventListener("pointermove", move);
        this.onChange();
      }, { once: true });
    });
    return placed(drawn, box);
  }
}

class Camera {
  constructor(onFile) {
    this.view = document.getElementById("camera-view");
    this.video = document.getElementById("camera-video");
    this.name = document.getElementById("portrait-name");
    document.getElementById("camera").addEventListener("click", () => this.start());
    document.getElementById("camera-stop").addEventListener("click", () => this.stop());
    document.getElementById("camera-take").addEventListener("click", async () => {
      onFile(await this.picture());
      this.stop();
    });
  }

  async start() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    } catch (error) {
      this.name.textContent = `The camera can't be used: ${reasonOf(error)}`;
      return;
    }
    this.video.srcObject = this.stream;
    this.view.hidden = false;
    await this.video.play();
    document.getElementById("camera-take").focus();
  }

  async picture() {
    const canvas = element("canvas", { width: this.video.videoWidth, height: this.video.videoHeight });
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    return new File([blob], "camera.jpg", { type: "image/jpeg" });
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.view.hidden = true;
  }
}

/** Why a camera or microphone can't be had, and what to do. */
export function reasonOf(error) {
  const reasons = {
    NotAllowedError: "allow it for this page in your browser's settings.",
    NotFoundError: "none is connected.",
    NotReadableError: "another program is using it.",
  };
  return reasons[error.name] ?? "it works on https:// pages and on localhost only.";
}

function label(text) {
  return element("span", { text });
}

function placed(drawn, box) {
  const percent = { left: box.x, top: box.y, width: box.width, height: box.height };
  for (const [name, value] of Object.entries(percent)) drawn.style[name] = `${100 * value}%`;
  return drawn;
}

function withRoom(face) {
  const x = Math.max(0, face.x - face.width / 2);
  const y = Math.max(0, face.y - face.height / 2);
  return { x, y, width: Math.min(1 - x, 2 * face.width), height: Math.min(1 - y, 2 * face.height) };
}

function within(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
