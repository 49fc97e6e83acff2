/** Where jobs run: on this machine, or on an endpoint at RunPod. */

import { button, byId } from "./dom.js";
import { deployed, here } from "./endpoint.js";
import { showFault } from "./fields.js";

const NAME = /^[A-Za-z0-9_-]{1,100}$/, KEY = /^[!-~]+$/;

export class Place {
  #keys = new Map();

  constructor() {
    this.inputs = [byId("remote-id"), byId("remote-key")];
    byId("remote-check").append(button("Test connection", () => this.#check()));
    byId("place").addEventListener("input", () => this.#show());
    // Not on every letter: jobs that wait for the key would try each.
    byId("place").addEventListener("change", () => this.#keys.set(...this.#typed));
    this.#show();
  }

  get #remote() {
    return byId("place-remote").checked;
  }

  get #typed() {
    return this.inputs.map((input) => input.value.trim());
  }

  /** The endpoint; null: its id or key is missing, and the page says so. */
  endpoint() {
    if (!this.#remote) return here();
    const [id, key] = this.#typed;
    const told = [
      NAME.test(id) ? "" : "Enter the endpoint's ID: letters, digits, - and _.",
      KEY.test(key) ? "" : "Enter an API key of your RunPod account.",
    ];
    this.inputs.forEach((input, place) => showFault(input, told[place]));
    this.#keys.set(id, key);
    if (!told.some(Boolean)) return this.of(id);
    byId("place").open = true;
    this.inputs[told.findIndex(Boolean)].focus();
    return null;
  }

  /** The endpoint of a job: its key is the one typed for it last. @param {string | null} id  null: this machine */
  of(id) {
    return id === null ? here() : deployed(id, () => this.#keys.get(id) ?? "");
  }

  /** Choose the endpoint of an old job, and ask for its key. */
  choose(id) {
    byId("place-remote").checked = byId("place").open = true;
    byId("remote-id").value = id;
    this.#show();
  }

  #show() {
    byId("remote-part").hidden = !this.#remote;
    byId("place-name").textContent = this.#remote ? `RunPod ${this.#typed[0]}` : "this machine";
    byId("preview-note").classList.toggle("elsewhere", this.#remote);
    byId("remote-state").textContent = "";
    for (const input of this.inputs) showFault(input, "");
  }

  async #check() {
    const endpoint = this.endpoint(), told = byId("remote-state");
    if (!endpoint) return;
    told.textContent = "Connecting …";
    try {
      const { workers, jobs } = await endpoint.health();
      told.textContent = `Connected: ${workers.ready ?? 0} workers ready, ${workers.running ?? 0} busy, ${jobs.inQueue ?? 0} jobs waiting.`;
    } catch (failed) {
      told.textContent = `Not connected: ${failed.message}.`;
    }
  }
}
