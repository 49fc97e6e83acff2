/** The form's part for the clip's size: a trained size near the picture's shape, or width and height. */

import { byId, element } from "./dom.js";
import { Control } from "./fields.js";
import { lostByCrop, trainedSize } from "./size.js";

const OWN = "own";
const HARD_CROP = 1 / 3;

export class SizePart {
  /** @param {Map<string, import("./schema.js").Field>} fields @param {() => void} changed */
  constructor(fields, changed) {
    this.sides = ["width", "height"].map((name) => new Control(fields.get(name), { filled: true, brief: true }));
    const choices = [...fields.get("resolution").choices, OWN];
    byId("size-choices").append(...choices.map((choice, place) => radio(choice, place === 0)));
    byId("own-size").append(...this.sides.map((control) => control.node));
    byId("size-part").addEventListener("input", () => {
      this.#reveal();
      changed();
    });
    this.#reveal();
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

  load({ resolution = OWN, width, height }) {
    byId(`size-${resolution}`).checked = true;
    if (resolution === OWN) this.sides.forEach((control, place) => (control.text = [width, height][place] ?? ""));
    this.#reveal();
  }

  /**
   * Say what becomes of the picture.
   * @param {{width: number, height: number} | null} picture
   */
  tell(picture, cropped = true) {
    byId("size-note").textContent = this.#note(picture?.width ? picture : null, cropped);
  }

  #note(picture, cropped) {
    const own = this.#choice === OWN;
    if (!picture) return own ? "" : "The trained size nearest to the picture's shape is used.";
    const trained = trainedSize(this.#choice, picture.width, picture.height);
    const [width, height] = trained ?? this.sides.map((control) => Number(control.text));
    if (!(width > 0 && height > 0)) return "";
    const lost = lostByCrop(picture.width, picture.height, width, height);
    const percent = `${Math.round(lost * 100)} %`;
    const told = `The picture is ${picture.width} × ${picture.height}, the clip ${width} × ${height}.`;
    if (!cropped || lost < 0.005) return told;
    if (lost < HARD_CROP) return `${told} The centre crop loses ${percent} of it.`;
    return `${told} The centre crop loses ${percent} of it${own ? ": a resolution keeps more." : "."}`;
  }

  #reveal() {
    byId("own-size").hidden = this.#choice !== OWN;
  }
}

function radio(choice, checked) {
  const input = element("input", { type: "radio", name: "resolution", id: `size-${choice}`, value: choice, checked });
  return element("label", { className: "choice" }, input, choice === OWN ? "width × height" : choice);
}
