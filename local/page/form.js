/** The form: what it sends, what is wrong with it, and what an old job loads back into it. */

import { byId } from "./dom.js";
import { Control } from "./fields.js";
import { PicturePart } from "./picture_part.js";
import { SizePart } from "./size_part.js";

const MAIN = ["preset", "num_frames", "steps", "fps", "seed", "output"];
/** Shown by a part of their own, or too large for a form: a graph and its pictures are for programs. */
const ELSEWHERE = ["image", "image_url", "prompt", "resolution", "width", "height", "workflow", "images"];

export class Form {
  /** @param {import("./schema.js").Field[]} fields @param {() => void} send */
  constructor(fields, send) {
    const byName = new Map(fields.map((field) => [field.name, field]));
    /** The job that was sent with what the form holds; null: none was, or it has changed since. */
    this.sent = null;
    const changed = () => {
      this.sent = null;
      this.#tell();
    };
    this.node = byId("form");
    this.picture = new PicturePart(changed);
    this.size = new SizePart(byName, changed);
    this.prompt = new Control(byName.get("prompt"), { rows: 3, required: true, brief: true });
    this.main = MAIN.filter((name) => byName.has(name)).map((name) => new Control(byName.get(name), { filled: name === "num_frames", brief: true }));
    this.more = fields
      .filter(({ name }) => !MAIN.includes(name) && !ELSEWHERE.includes(name))
      .map((field) => new Control(field, { rows: field.name === "negative_prompt" ? 2 : 0 }));
    byId("prompt-part").append(this.prompt.node);
    byId("main-part").append(...this.main.map((control) => control.node));
    byId("more-fields").append(...this.more.map((control) => control.node));
    this.node.addEventListener("input", changed);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    this.prompt.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.node.requestSubmit();
    });
    this.#tell();
  }

  get #controls() {
    return [this.prompt, ...this.size.controls, ...this.main, ...this.more];
  }

  /** The job's input, less the picture's data. */
  get input() {
    const all = { ...this.picture.input, prompt: this.prompt.value, ...this.size.input };
    for (const control of [...this.main, ...this.more]) all[control.name] = control.value;
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  /** What the form itself finds wrong, by field. */
  faults() {
    const found = this.#controls.map((control) => [control.name, control.fault()]);
    return { ...this.picture.fault(), ...Object.fromEntries(found.filter(([, fault]) => fault)) };
  }

  /** Show faults at their fields and as a summary; {}: there are none. `focus`: go to the first. */
  showFaults(faults, focus = true) {
    for (const name of ["image", "image_url"]) this.picture.show(name, faults[name] ?? "");
    for (const control of [...this.#controls, ...this.size.sides]) control.show(faults[control.name] ?? "");
    if (this.more.some((control) => faults[control.name])) byId("more-part").open = true;
    const told = Object.entries(faults).map(([name, fault]) => `${name}: ${fault}`);
    byId("summary").textContent = told.length ? `Nothing runs until this is mended. ${told.join("; ")}` : "";
    if (focus) this.node.querySelector('[aria-invalid="true"]')?.focus();
  }

  /** Say that nothing was sent, and why. */
  showTrouble(text) {
    byId("summary").textContent = text;
  }

  /** Put an old job's settings back. */
  load(input, picture) {
    this.picture.load(picture, input.image_url);
    this.size.load(input);
    for (const control of [this.prompt, ...this.main, ...this.more]) {
      const { choices, default: usual } = control.field;
      control.text = input[control.name] ?? (choices.length ? (usual ?? "") : "");
    }
    this.showFaults({});
    this.#tell();
  }

  /** @param {string} text */
  setSeed(text) {
    const seed = this.main.find((control) => control.name === "seed");
    seed.text = text;
    seed.input.focus();
  }

  #tell() {
    const cropped = (this.more.find((control) => control.name === "fit")?.text ?? "crop") === "crop";
    this.size.tell(this.picture.picture, cropped);
    const [frames, rate] = ["num_frames", "fps"].map((name) => {
      const control = this.main.find((each) => each.name === name);
      return Number(control?.text || control?.field.default);
    });
    byId("length-note").textContent = frames > 0 && rate > 0 ? `${frames} frames at ${rate} per second: ${(frames / rate).toFixed(1)} s.` : "";
  }
}
