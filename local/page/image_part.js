/** The form's part for the start image: dropped, chosen, pasted, the sample, or a URL. */

import { button, byId, save } from "./dom.js";
import { showFault } from "./fields.js";
import { readImage } from "./image.js";
import { sentence } from "./words.js";

const SAMPLE = "examples/rocket.jpg";

export class ImagePart {
  /** @param {number | undefined} maxAspect  the worker's @param {(name: string) => void} changed */
  constructor(maxAspect, changed) {
    Object.assign(this, { maxAspect, changed, file: byId("image-file"), url: byId("image-url"), zone: byId("image-zone") });
    /** @type {import("./image.js").StartImage | null} */
    this.image = null;
    /** What is wrong with the file that was chosen last. */
    this.refused = "";
    byId("image-actions").prepend(
      (this.sample = button("Use the sample image", () => this.useSample(), { className: "small" })),
      (this.remover = button("Remove", () => this.#remove(), { className: "small", hidden: true })),
    );
    this.file.addEventListener("change", () => this.#takeFrom(this.file.files));
    this.url.addEventListener("input", () => {
      if (this.image) this.#show(null);
      this.#settle("");
    });
    this.#listenForDrops();
  }

  /** The input's fields, less the image's data. */
  get input() {
    const url = this.url.value.trim();
    return url ? { image_url: url } : {};
  }

  fault() {
    const { image_url: url } = this.input;
    if (this.refused) return { image: this.refused };
    if (url && !/^https?:\/\/\S+$/i.test(url)) return { image_url: "must start with http:// or https://" };
    return this.image || url ? {} : { image: "is required: drop or choose one" };
  }

  /** @param {string} name @param {string} text */
  show(name, text) {
    if (name === "image") showFault(this.file, text, byId("image-note"));
    else showFault(this.url, text);
    if (name === "image_url" && text) byId("url-part").open = true;
  }

  /** Show an image that was taken before. */
  load(image, url = "") {
    this.url.value = url;
    byId("url-part").open = Boolean(url);
    this.#show(image);
    this.#settle("");
  }

  /** @param {Blob} blob @param {string} name */
  async take(blob, name) {
    try {
      this.load(await readImage(blob, name, this.maxAspect));
    } catch (failed) {
      this.#show(null);
      this.#settle(failed.message);
    }
  }

  async useSample() {
    try {
      const answer = await fetch(`/${SAMPLE}`);
      if (!answer.ok) throw new Error();
      await this.take(await answer.blob(), SAMPLE);
    } catch {
      this.#settle("was not loaded: the server does not answer. Try again");
    }
  }

  #show(image) {
    this.image = image;
    const shown = byId("image-preview"), note = byId("image-note");
    if (shown.src) URL.revokeObjectURL(shown.src);
    if (image?.width) shown.src = URL.createObjectURL(image.blob);
    else shown.removeAttribute("src");
    shown.hidden = !image?.width;
    this.sample.hidden = byId("image-invitation").hidden = Boolean(image);
    this.remover.hidden = !image;
    byId("image-name").textContent = [image?.name, image?.width && `${image.width} × ${image.height}`].filter(Boolean).join(", ");
    note.textContent = image?.note ?? "";
    // The request as code reads that file.
    if (image?.note && image.width) note.append(" ", button(`Save ${image.name}`, () => save(image.blob, image.name), { className: "small" }));
  }

  #settle(fault) {
    this.refused = fault;
    this.changed("image");
    this.show("image", fault && sentence("image", fault));
    this.show("image_url", "");
  }

  #remove() {
    this.load(null);
    this.file.focus();
  }

  #takeFrom([file]) {
    if (file) this.take(file, file.name);
    this.file.value = "";
  }

  #listenForDrops() {
    // Anywhere on the page, as a file that misses the zone would replace the page.
    for (const kind of ["dragover", "drop", "dragleave"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        this.zone.classList.toggle("over", kind === "dragover");
        if (kind === "drop") this.#takeFrom(event.dataTransfer.files);
      });
    }
    window.addEventListener("paste", (event) => this.#takeFrom(event.clipboardData.files));
  }
}
