/** The form's part for the start picture: dropped, chosen, pasted, the sample, or an address. */

import { button, byId, element } from "./dom.js";
import { FaultLine } from "./fields.js";
import { readPicture } from "./picture.js";

const SAMPLE = "examples/rocket.jpg";

export class PicturePart {
  /** @param {() => void} changed */
  constructor(changed) {
    /** @type {import("./picture.js").Picture | null} */
    this.picture = null;
    this.changed = changed;
    this.file = byId("picture-file");
    this.address = byId("picture-url");
    this.zone = byId("picture-zone");
    this.faults = { image: new FaultLine(this.file), image_url: new FaultLine(this.address) };
    byId("picture-faults").append(this.faults.image.node);
    byId("picture-url-faults").append(this.faults.image_url.node);
    byId("picture-buttons").append(
      button("Use the sample picture", () => this.#useSample()),
      (this.remover = button("Remove", () => this.#clear(), { hidden: true })),
    );
    this.file.addEventListener("change", () => this.file.files[0] && this.take(this.file.files[0], this.file.files[0].name));
    this.address.addEventListener("input", () => this.#useAddress());
    this.#listenForDrops();
  }

  /** The input's fields, less the picture's data. */
  get input() {
    const url = this.address.value.trim();
    return url ? { image_url: url } : {};
  }

  fault() {
    return this.picture || this.address.value.trim() ? {} : { image: "is required: drop or choose a picture" };
  }

  /** @param {string} name @param {string} text */
  show(name, text) {
    this.faults[name].show(text);
  }

  /** Show a picture that was taken before. */
  load(picture, address = "") {
    this.address.value = address;
    this.#show(picture);
  }

  /** @param {Blob} blob @param {string} name */
  async take(blob, name) {
    this.file.value = "";
    try {
      const picture = await readPicture(blob, name);
      this.address.value = "";
      this.#show(picture);
    } catch (failed) {
      this.#show(null);
      this.faults.image.show(failed.message);
    }
  }

  #show(picture) {
    this.picture = picture;
    const image = byId("picture-preview"), note = byId("picture-note");
    if (image.src) URL.revokeObjectURL(image.src);
    const shown = Boolean(picture?.width);
    if (shown) image.src = URL.createObjectURL(picture.blob);
    else image.removeAttribute("src");
    image.hidden = !shown;
    byId("picture-invitation").hidden = Boolean(picture);
    byId("picture-name").textContent = picture ? describe(picture) : "";
    note.textContent = picture?.note ?? "";
    if (picture?.note && picture.width) note.append(" ", saver(picture));
    this.remover.hidden = !picture;
    for (const line of Object.values(this.faults)) line.show("");
    this.changed();
  }

  #clear() {
    this.load(null);
    this.file.focus();
  }

  #useAddress() {
    if (this.picture) this.#show(null);
    this.faults.image.show("");
    this.faults.image_url.show("");
    this.changed();
  }

  async #useSample() {
    try {
      const answer = await fetch(`/${SAMPLE}`);
      if (!answer.ok) throw new Error();
      await this.take(await answer.blob(), SAMPLE);
    } catch {
      this.faults.image.show("the sample cannot be loaded: the server does not answer");
    }
  }

  #listenForDrops() {
    // Anywhere on the page, as a file that misses the zone would replace the page.
    for (const kind of ["dragover", "drop", "dragleave"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        this.zone.classList.toggle("over", kind === "dragover");
        const file = kind === "drop" && event.dataTransfer.files[0];
        if (file) this.take(file, file.name);
      });
    }
    window.addEventListener("paste", (event) => {
      const file = event.clipboardData.files[0];
      if (file) this.take(file, file.name);
    });
  }
}

function describe({ name, width, height }) {
  return width ? `${name}, ${width} × ${height}` : name;
}

/** A link that saves the picture as it is sent: the request as code reads that file. */
function saver(picture) {
  const link = element("a", { href: "#", download: picture.name }, `Save ${picture.name}`);
  link.addEventListener("click", () => {
    link.href = URL.createObjectURL(picture.blob);
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  return link;
}
