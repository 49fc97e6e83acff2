/** The form: what it sends, what is wrong with it, and what an old job loads back into it. */

import { byId } from "./dom.js";
import { Control } from "./fields.js";
import { ImagePart } from "./image_part.js";
import { PresetPart } from "./preset_part.js";
import { ShapePart } from "./shape_part.js";
import { sentence } from "./words.js";

/** Shown by a part of their own, or for programs: as are fields that hold objects or lists, but for LoRAs. */
const ELSEWHERE = ["image", "image_url", "prompt", "preset", "num_frames", "resolution", "width", "height", "aspect_ratio", "comfy_org_api_key"];
const LORAS = "Files of the endpoint's models/loras, comma-separated, each with its strength: style:0.8";
const SPECIAL = { seed: { placeholder: "Random" }, loras: { hint: LORAS } };
const MOTION = "What moves, and how the camera moves.";

export class Form {
  /** @param {import("./schema.js").Field[]} fields @param {() => void} send */
  constructor(fields, send) {
    const byName = new Map(fields.map((field) => [field.name, field])), update = () => this.#update();
    /** The job that was sent with what the form holds; null: none was, or it has changed since. */
    this.sent = null;
    /** The faults that are shown. */
    this.shown = {};
    this.node = byId("form");
    this.length = byId("length");
    this.image = new ImagePart(byName.get("image")?.["x-max-aspect"], (name) => this.#changed(name));
    this.prompt = new Control(byName.get("prompt"), { rows: 3, hint: MOTION, placeholder: "" });
    this.preset = new PresetPart(byName.get("preset"), update);
    this.frames = new Control(byName.get("num_frames"), { filled: true, hint: "" });
    this.shape = new ShapePart(byName, update);
    this.more = fields
      .filter(({ name, type }) => !ELSEWHERE.includes(name) && (name === "loras" || ["string", "integer", "number"].includes(type)))
      .map((field) => new Control(field, { rows: field.name === "negative_prompt" ? 2 : 0, ...SPECIAL[field.name] }));
    byId("prompt-part").append(this.prompt.node);
    byId("frames-part").append(this.frames.node);
    byId("more-fields").append(...this.more.map((control) => control.node));
    this.length.max = this.frames.field.maximum;
    this.#listen(send);
    this.#update();
  }

  get #own() {
    return [this.prompt, this.preset, this.frames, ...this.more];
  }

  /** The job's input, less the image's data. */
  get input() {
    const all = { ...this.image.input, ...this.shape.input };
    for (const control of this.#own) all[control.name] = control.value;
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  /** What the form itself finds wrong, by field. */
  faults() {
    const found = [...this.#own, ...this.shape.controls].map((control) => [control.name, control.fault()]);
    return { ...this.image.fault(), ...Object.fromEntries(found.filter(([, fault]) => fault)) };
  }

  /** Show faults at their fields and as a summary; {}: there are none. `focus`: go to the first. */
  showFaults(faults, focus = true) {
    this.shown = { ...faults };
    const text = (name) => (faults[name] ? sentence(name, faults[name]) : "");
    for (const name of ["image", "image_url"]) this.image.show(name, text(name));
    for (const control of [...this.#own, ...this.shape.sides]) control.show(text(control.name));
    if (this.more.some((control) => faults[control.name])) byId("more-part").open = true;
    this.#summarise();
    if (focus) this.node.querySelector('[aria-invalid="true"]')?.focus();
  }

  /** Say that nothing was sent, and why. */
  showTrouble(text) {
    byId("summary").textContent = text;
  }

  /** Put an old job's settings back. */
  load(input, image) {
    this.image.load(image, input.image_url);
    for (const control of this.#own) control.load(input[control.name]);
    this.shape.load(input, this.preset.chosen.resolution);
    this.showFaults({});
    this.#update();
  }

  /** @param {string} seed */
  setSeed(seed) {
    byId("more-part").open = true;
    Object.assign(byId("field-seed"), { value: seed }).focus();
    this.#changed("seed");
  }

  #listen(send) {
    this.length.addEventListener("input", () => (this.frames.input.value = this.length.value));
    this.node.addEventListener("input", (event) => this.#changed(event.target === this.length ? "num_frames" : event.target.name));
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) this.node.requestSubmit();
    });
  }

  /** A field has changed: what was said of it holds no longer. */
  #changed(name) {
    [...this.#own, ...this.shape.sides].find((control) => control.name === name)?.show("");
    for (const gone of name === "image" ? ["image", "image_url"] : [name]) delete this.shown[gone];
    this.#summarise();
    this.#update();
  }

  #summarise() {
    const told = Object.entries(this.shown).map(([name, fault]) => `${sentence(name, fault)}.`);
    byId("summary").textContent = told.length ? `Fix first: ${told.join(" ")}` : "";
  }

  /** What follows from the fields: shape, length, times. */
  #update() {
    this.sent = null;
    const { image } = this.image, { chosen } = this.preset, { field } = this.prompt, frames = Number(this.frames.input.value);
    const control = (name) => this.more.find((one) => one.name === name);
    for (const name of ["steps", "cfg", "shift"]) if (control(name) && chosen[name] !== undefined) control(name).input.placeholder = chosen[name];
    this.shape.follow(chosen.resolution);
    this.shape.describe(image, (control("fit")?.input.value ?? "crop") === "crop", control("upscale")?.input.value || chosen.upscale?.to);
    this.preset.compare((resolution) => this.shape.sizeFor(image, resolution), frames);
    const rate = Number(control("fps")?.input.value || control("fps")?.field.default);
    const seconds = frames > 0 && rate > 0 ? `${(frames / rate).toFixed(1)} s` : "";
    this.length.value = frames;
    this.length.setAttribute("aria-valuetext", seconds);
    byId("seconds").textContent = seconds;
    byId("hint-prompt").textContent = this.prompt.value ? MOTION : `Without a prompt: ${field.default ? `“${field.default}”` : "the model's choice"}.`;
  }
}
