/** The form's part for the preset: each with its steps, its size, and its time beside the default's. */

import { byId, element, radio } from "./dom.js";
import { showFault } from "./fields.js";
import { stepCost } from "./size.js";
import { humanise } from "./words.js";

const QUALITY = {
  fast: "For drafts: a faster model, with less detail.",
  fast_720p: "Fast, then upscaled: 720p at the least work.",
  balanced: "More detail, with fewer steps than recommended.",
  quality: "Best: the number of steps that its authors recommend.",
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
      const { resolution, upscale } = this.presets[name] ?? {}, all = [steps(name), upscale?.steps].filter(Boolean).join(" + ");
      const about = [upscale?.to ?? resolution, all && `${all} steps`].filter(Boolean).join(", "), time = element("small");
      this.times.set(name, time);
      byId("presets").append(radio("preset", name, element("span", {}, element("b", {}, humanise(name)), time, element("small", {}, about))));
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
    const part = (steps, resolution) => steps * stepCost(sizeOf(resolution), frames), base = this.presets[this.field.default];
    const cost = ({ steps, resolution, upscale }) => part(steps, resolution) + (upscale ? part(upscale.steps, upscale.to) : 0);
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
  if (ratio > 1.05) return `${ratio.toFixed(1)}× time`;
  return ratio < 0.95 ? `1/${Math.round(1 / ratio)} time` : "default";
}
