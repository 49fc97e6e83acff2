/** A labelled control for a field of the job's input, with its hint and its fault. */

import { element, freshId, humanise } from "./dom.js";
import { fault, limits, valueOf } from "./schema.js";

const LABELS = {
  prompt: "Prompt",
  num_frames: "Frames",
  fps: "Frames per second",
  cfg: "Guidance (cfg)",
  output: "What comes back",
  both: "video and frames",
};

/** What they are where nothing is given, the schema tells for one preset only. */
const OF_PRESET = ["steps", "cfg", "shift"];

/** Shows a fault at an input, for eyes and screen readers. */
export class FaultLine {
  constructor(input) {
    this.input = input;
    this.node = element("p", { className: "fault", id: freshId("fault"), hidden: true });
  }

  /** @param {string} text empty: none */
  show(text) {
    this.node.textContent = text;
    this.node.hidden = !text;
    const hint = this.input.dataset.hint ?? "";
    const described = [text && this.node.id, hint].filter(Boolean).join(" ");
    if (described) this.input.setAttribute("aria-describedby", described);
    else this.input.removeAttribute("aria-describedby");
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }
}

/** One field's control. Left empty, it is left out of the request, and the worker's default holds. */
export class Control {
  /** @param {import("./schema.js").Field} field */
  constructor(field, { rows = 0, required = false, filled = false, brief = false } = {}) {
    this.field = field;
    this.required = required;
    const id = `field-${field.name}`, hintId = `hint-${field.name}`;
    this.input = makeInput(field, id, rows, required, filled);
    this.input.dataset.hint = hintId;
    this.faults = new FaultLine(this.input);
    this.node = element(
      "div",
      { className: `field field-${field.type}` },
      element("label", { htmlFor: id }, LABELS[field.name] ?? humanise(field.name)),
      this.input,
      this.faults.node,
      element("p", { className: "hint", id: hintId }, brief ? briefHint(field) : hintOf(field)),
    );
    this.show("");
    this.input.addEventListener("input", () => this.show(""));
  }

  get name() {
    return this.field.name;
  }

  get text() {
    return this.input.value;
  }

  set text(text) {
    this.input.value = text;
  }

  /** For the request; undefined: left out. */
  get value() {
    const empty = this.field.choices.length ? this.text === (this.field.default ?? "") : !this.text.trim();
    return empty ? undefined : valueOf(this.field, this.text);
  }

  /** What is wrong with it; empty: nothing. */
  fault() {
    if (this.required && !this.text.trim()) return "is required";
    if (this.input.validity.badInput) return "must be a number";
    return fault(this.field, this.text);
  }

  /** @param {string} text */
  show(text) {
    this.faults.show(text);
  }
}

function makeInput(field, id, rows, required, filled) {
  const common = { id, name: field.name, "aria-required": required ? "true" : null };
  if (field.choices.length) return element("select", common, ...options(field));
  if (field.type === "string") return element(rows ? "textarea" : "input", { ...common, rows: rows || null, autocomplete: "off" });
  const whole = field.type === "integer";
  // No min, max and step: browsers would round and clip what is typed, and this page says itself what is wrong.
  const input = element("input", { ...common, inputMode: whole ? "numeric" : "decimal", autocomplete: "off" });
  input.placeholder = field.default === null ? "" : `default ${field.default}`;
  if (field.name === "seed") input.placeholder = "random";
  if (OF_PRESET.includes(field.name)) input.placeholder = "the preset's";
  if (filled) input.value = field.default ?? "";
  return input;
}

function options(field) {
  const none = field.default === null ? [element("option", { value: "" }, "none")] : [];
  const choices = field.choices.map((choice) => {
    const label = LABELS[choice] ?? String(choice);
    return element("option", { value: choice, selected: choice === field.default }, label);
  });
  return [...none, ...choices];
}

/** The first sentence, or the range: what a person needs who knows what the field is. */
function briefHint(field) {
  if (field.choices.length) return "";
  if (field.type === "string") return field.description.replace(/(?<=\.) .*/s, "");
  return field.maximum > Number.MAX_SAFE_INTEGER ? "empty: a new one" : limits(field);
}

function hintOf(field) {
  const range = field.choices.length || field.type === "string" ? "" : limits(field);
  return [field.description, range && `Allowed: ${range}.`].filter(Boolean).join(" ");
}
