/** A labelled control for a field of the job's input, with its hint and its fault. */

import { element, freshId } from "./dom.js";
import { fault, limits, valueOf } from "./schema.js";
import { choiceLabel, labelOf, readable } from "./words.js";

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
    const described = [text && this.node.id, this.input.dataset.hint].filter(Boolean).join(" ");
    for (const [name, value] of [["aria-describedby", described], ["aria-invalid", text && "true"]]) {
      if (value) this.input.setAttribute(name, value);
      else this.input.removeAttribute(name);
    }
  }
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
    if (filled) this.text = field.default ?? "";
    if (hint) this.input.dataset.hint = `hint-${field.name}`;
    this.faults = new FaultLine(this.input);
    this.node = element(
      "div",
      { className: `field${field.type === "string" && !field.choices.length ? " wide" : ""}` },
      element("label", { htmlFor: id }, labelOf(field.name)),
      this.input,
      this.faults.node,
      hint ? element("p", { className: "hint", id: `hint-${field.name}` }, hint) : null,
    );
    this.show("");
  }

  get text() {
    return this.input.value;
  }

  set text(text) {
    this.input.value = text;
  }

  /** Back to what it is without a job's value. */
  reset() {
    this.text = this.field.choices.length ? (this.field.default ?? "") : "";
  }

  /** For the request; undefined: left out. */
  get value() {
    const empty = this.field.choices.length ? this.text === (this.field.default ?? "") : !this.text.trim();
    return empty ? undefined : valueOf(this.field, this.text);
  }

  /** What is wrong with it; empty: nothing. */
  fault() {
    return fault(this.field, this.text);
  }

  /** @param {string} text  the fault; empty: none */
  show(text) {
    this.faults.show(text);
  }
}

function makeInput({ name, type, choices, default: usual }, id, rows) {
  const common = { id, name, autocomplete: "off" };
  if (choices.length) {
    const options = [...(usual === null ? [["", "None"]] : []), ...choices.map((choice) => [choice, choiceLabel(choice)])];
    return element("select", common, ...options.map(([value, label]) => element("option", { value, selected: value === usual }, label)));
  }
  if (type === "string") return element(rows ? "textarea" : "input", { ...common, rows: rows || null });
  // No min, max and step: browsers would round and clip what is typed, and this page says itself what is wrong.
  return element("input", { ...common, inputMode: type === "integer" ? "numeric" : "decimal" });
}

/** The description, and the range where people may want it. */
function hintOf(field) {
  const unsaid = field.choices.length || field.type === "string" || field.maximum > Number.MAX_SAFE_INTEGER;
  return [readable(field.description), !unsaid && `Allowed: ${limits(field)}.`].filter(Boolean).join(" ");
}
