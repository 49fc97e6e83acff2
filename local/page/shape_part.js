/** The form's part for the clip's size: a trained size near the image's shape, or width and height. */

import { byId, radio } from "./dom.js";
import { Control } from "./fields.js";
import { larger, lostByCrop, nearestSize } from "./size.js";

const OWN = "own";
/** Reckoned with until there is an image. */
const USUAL = { width: 16, height: 9 };

export class ShapePart {
  /** @param {Map<string, import("./schema.js").Field>} fields @param {() => void} changed */
  constructor(fields, changed) {
    const { choices, "x-sizes": sizes } = fields.get("resolution");
    this.sides = ["width", "height"].map((name) => new Control(fields.get(name)));
    this.trained = sizes;
    byId("sizes").append(...choices.map((choice) => radio("resolution", choice, choice)), radio("resolution", OWN, "Custom"));
    byId("own-size").append(...this.sides.map((control) => control.node));
    byId("sizes").addEventListener("input", () => {
      this.chosen = true;
      if (this.#choice === OWN) this.sides.forEach((control, place) => (control.input.value ||= this.last[place]));
      this.#reveal();
      changed();
    });
    this.follow(choices.at(-1));
  }

  get #choice() {
    return document.querySelector('input[name="resolution"]:checked').value;
  }

  get controls() {
    return this.#choice === OWN ? this.sides : [];
  }

  /** The input's fields. */
  get input() {
    if (this.#choice !== OWN) return { resolution: this.#choice };
    return Object.fromEntries(this.sides.map((control) => [control.name, control.value]));
  }

  /** Take the preset's resolution, unless somebody chose another. */
  follow(resolution) {
    if (this.chosen || !resolution) return;
    byId(`resolution-${resolution}`).checked = true;
    this.#reveal();
  }

  /** Put an old job's size back. @param {string} usual  its preset's resolution */
  load({ resolution = OWN, width = "", height = "" }, usual) {
    this.chosen = resolution !== usual;
    byId(`resolution-${resolution}`).checked = true;
    this.sides.forEach((control, place) => (control.input.value = [width, height][place]));
    this.#reveal();
  }

  /** The clip's [width, height] for an image, in pixels: of a resolution, or as chosen. */
  sizeFor(image, resolution = this.#choice) {
    const { width, height } = image?.width ? image : USUAL;
    return resolution === OWN ? this.sides.map((control) => Number(control.input.value)) : nearestSize(this.trained[resolution], width, height);
  }

  /** Say what becomes of the image. @param {string} upscale  to "720p", "1080p"; empty: it is not */
  describe(image, cropped, upscale) {
    const size = this.sizeFor(image), [width, height] = size, known = image?.width && width > 0 && height > 0;
    if (this.#choice !== OWN) this.last = size;
    const lost = known && cropped ? Math.round(100 * lostByCrop(image.width, image.height, width, height)) : 0;
    const unknown = this.#choice === OWN ? "" : "in your image's shape";
    const made = upscale ? larger(size, this.#choice !== OWN && this.trained[upscale]) : size;
    byId("shape").textContent = known ? `${made.join(" × ")}${lost ? `, crops ${lost}%` : ""}` : unknown;
  }

  #reveal() {
    byId("own-size").hidden = this.#choice !== OWN;
  }
}
