/** Where jobs run: on this machine, or on an endpoint at RunPod. */

import { button, byId } from "./dom.js";
import { deployed, here } from "./endpoint.js";
import { FaultLine } from "./fields.js";

const NAME = /^[A-Za-z0-9_-]{1,100}$/;

export class Place {
  constructor() {
    this.id = byId("remote-id");
    this.key = byId("remote-key");
    this.faults = [this.id, this.key].map((input) => new FaultLine(input));
    byId("remote-id-faults").append(this.faults[0].node);
    byId("remote-key-faults").append(this.faults[1].node);
    byId("remote-check").append(button("Ask the endpoint how it is", () => this.#check()));
    byId("place").addEventListener("input", () => this.#changed());
    this.#changed();
  }

  get #remote() {
    return byId("place-remote").checked;
  }

  /** The endpoint; null: its id or key is missing, and the page says so. */
  endpoint() {
    if (!this.#remote) return here();
    const id = this.id.value.trim(), key = this.key.value.trim();
    const told = [NAME.test(id) ? "" : "is required: letters, digits, - and _", /^[!-~]+$/.test(key) ? "" : "is required: one word"];
    this.faults.forEach((line, place) => line.show(told[place]));
    [this.id, this.key][told.findIndex(Boolean)]?.focus();
    return told.some(Boolean) ? null : deployed(id, key);
  }

  #changed() {
    byId("remote-part").hidden = !this.#remote;
    byId("preview-note").classList.toggle("elsewhere", this.#remote);
    byId("remote-state").textContent = "";
    for (const line of this.faults) line.show("");
  }

  async #check() {
    const endpoint = this.endpoint(), told = byId("remote-state");
    if (!endpoint) return;
    told.textContent = "Asking …";
    try {
      const { workers, jobs } = await endpoint.health();
      told.textContent = `It answers: ${workers.ready ?? 0} workers ready, ${workers.running ?? 0} of them busy, ${jobs.inQueue ?? 0} jobs waiting.`;
    } catch (failed) {
      told.textContent = `No: ${failed.message}.`;
    }
  }
}
