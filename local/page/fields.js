/** A labelled control for a field of the job's input, with its hint and its fault. */

import { element } from "./dom.js";
import { fault, limits, valueOf } from "./schema.js";
import { choiceLabel, labelOf, readable } from "./words.js";

/** Show a fault at an input, below `place`, for eyes and screen readers. @param {string} text  empty: there is none */
export function showFault(input, text, place = input) {
  const id = `${input.id}-fault`, hint = input.dataset.hint ?? "";
  document.getElementById(id)?.remove();
  if (text) place.after(element("p", { className: "fault", id }, text));
  input.setAttribute("aria-describedby", text ? `${id} ${hint}` : hint);
  input.setAttribute("aria-invalid", String(Boolean(text)));
}

/** One field's control. Left empty, it is left out of the request, and the worker's default holds. */
export class Control {
  /** @param {import("./schema.js").Field} field */
  constructor(field, { rows = 0, filled = false, hint = hintOf(field), placeholder = String(field.default ?? "") } = {}) {
    this.field = field;
    this.name = field.name;
    const id = `field-${field.name}`;
    this.input = makeInput(field, id, rows);
    this.input.placeholder = placeholder;
    if (filled) this.input.value = field.default ?? "";
    if (hint) this.input.dataset.hint = `hint-${field.name}`;
    const label = element("label", { htmlFor: id }, labelOf(field.name)), wide = ["string", "array"].includes(field.type) && !field.choices.length;
    const about = hint ? element("p", { className: "hint", id: `hint-${field.name}` }, hint) : null;
    this.node = element("div", { className: wide ? "field wide" : "field" }, label, this.input, about);
    this.show("");
  }

  /** Put a job's value back; without one, what stands for that. */
  load(value) {
    this.input.value = value ?? (this.field.choices.length ? (this.field.default ?? "") : "");
  }

  /** For the request; undefined: left out. */
  get value() {
    const empty = this.field.choices.length ? this.input.value === (this.field.default ?? "") : !this.input.value.trim();
    return empty ? undefined : valueOf(this.field, this.input.value);
  }

  /** What is wrong with it; empty: nothing. */
  fault() {
    return fault(this.field, this.input.value);
  }

  /** @param {string} text  the fault; empty: none */
  show(text) {
    showFault(this.input, text);
  }
}

function makeInput({ name, type, choices, default: usual }, id, rows) {
  const common = { id, name, autocomplete: "off" };
  if (choices.length) {
    const options = [...(usual === null ? [["", "None"]] : []), ...choices.map((choice) => [choice, choiceLabel(choice)])];
    return element("select", common, ...options.map(([value, label]) => element("option", { value, selected: value === usual }, label)));
  }
  if (type === "string" || type === "array") return element(rows ? "textarea" : "input", { ...common, rows: rows || null });
  // No min, max and step: browsers would round and clip what is typed, and this page says itself what is wrong.
  return element("input", { ...common, inputMode: type === "integer" ? "numeric" : "decimal" });
}

/** The description, and the range where people may want it. */
function hintOf(field) {
  const unsaid = field.choices.length || field.type === "string" || field.maximum > Number.MAX_SAFE_INTEGER;
  return [readable(field.description), !unsaid && `Allowed: ${limits(field)}.`].filter(Boolean).join(" ");
}
