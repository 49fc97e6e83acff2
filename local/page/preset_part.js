/** The form's part for the preset: each with its steps, its size, and its time beside the default's. */

import { byId, element, radio } from "./dom.js";
import { showFault } from "./fields.js";
import { stepCost } from "./size.js";
import { humanise } from "./words.js";

const QUALITY = {
  fast: "For drafts: a faster model, with less detail.",
  fast_720p: "Fast, and a second model makes it 720p: the cheapest 720p whose steps are its authors' own.",
  balanced: "More detail, at fewer steps than its authors require.",
  quality: "Best: the number of steps that its authors require.",
};

export class PresetPart {
  /** @param {import("./schema.js").Field} field  with "x-presets": the worker's values, by name @param {() => void} changed */
  constructor(field, changed) {
    this.field = field;
    this.name = field.name;
    this.presets = field["x-presets"] ?? {};
    this.times = new Map();
    const steps = (name) => this.presets[name]?.steps ?? 0;
    for (const name of [...field.choices].sort((one, other) => steps(one) - steps(other))) {
      const about = [this.presets[name]?.upscale?.to ?? this.presets[name]?.resolution, steps(name) && `${steps(name)} steps`].filter(Boolean).join(", ");
      this.times.set(name, element("small"));
      byId("presets").append(radio("preset", name, element("span", {}, element("b", {}, humanise(name)), element("small", {}, about), this.times.get(name))));
    }
    byId("preset-part").addEventListener("change", changed);
    this.load();
  }

  get value() {
    return document.querySelector('input[name="preset"]:checked').value;
  }

  load(name = this.field.default ?? this.field.choices[0]) {
    if (this.times.has(name)) byId(`preset-${name}`).checked = true;
  }

  /** The worker's values for the chosen one: steps, cfg, shift, resolution. */
  get chosen() {
    return this.presets[this.value] ?? {};
  }

  /** Say what each costs, in times of the default's. @param {(resolution: string) => [number, number]} sizeOf */
  compare(sizeOf, frames) {
    byId("preset-note").textContent = QUALITY[this.value] ?? this.field.description;
    const part = (steps, resolution) => steps * stepCost(sizeOf(resolution), frames);
    const cost = ({ steps, resolution, upscale }) => part(steps, resolution) + (upscale ? part(upscale.steps, upscale.to) : 0), base = this.presets[this.field.default];
    for (const [name, node] of base && frames > 0 ? this.times : []) node.textContent = inTimes(cost(this.presets[name]) / cost(base));
  }

  fault = () => "";

  /** @param {string} text */
  show(text) {
    showFault(byId(`preset-${this.value}`), text, byId("preset-note"));
  }
}

/** How long it takes beside the default: by its arithmetic, which is what a GPU is busy with. */
function inTimes(ratio) {
  if (ratio > 1.05) return `${ratio.toFixed(1)}× the time`;
  return ratio < 0.95 ? `1/${Math.round(1 / ratio)} the time` : "the default";
}
