/** One job's life, from the request to its end. */

import { filesOf, release, withoutData } from "./files.js";

const POLL = 1000;
const FINAL = new Set(["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"]);
const LOST =
  "The server no longer knows this job: it was restarted, or the result has expired. Send it again with “Use these settings”.";
const EMPTY = "The job completed without an answer: its reply was over the platform's limit.";

/**
 * Sends "change" whenever it has news.
 * `state` is the platform's, or "LOST" once the endpoint does not know the job.
 */
export class Job extends EventTarget {
  /**
   * @param {number} number  its place in the tab's history
   * @param {import("./endpoint.js").Endpoint} endpoint
   * @param {Record<string, any>} input  as sent, less the picture's data
   * @param {import("./picture.js").Picture | null} picture
   */
  constructor(number, endpoint, input, picture) {
    super();
    Object.assign(this, { number, endpoint, input, picture });
    this.id = "";
    this.state = "IN_QUEUE";
    this.queue = "";
    this.progress = null;
    this.error = "";
    /** What failed, by field. */
    this.faults = {};
    this.output = null;
    this.files = [];
    /** Why the endpoint was not reached the last time; empty: it was. */
    this.trouble = "";
    this.sent = Date.now();
    this.ended = 0;
    this.wake = () => {};
    this.forgotten = false;
  }

  get final() {
    return FINAL.has(this.state);
  }

  /** Seconds since it was sent, until its end. */
  get elapsed() {
    return ((this.ended || Date.now()) - this.sent) / 1000;
  }

  /** Follow the job that the endpoint knows as `id` until it ends or is forgotten. */
  async follow(id) {
    this.id = id;
    while (!this.final && !this.forgotten) {
      await this.#look();
      this.#tell();
      if (!this.final) await this.#sleep();
    }
  }

  async cancel() {
    try {
      const answer = await this.endpoint.cancel(this.id);
      if (answer.status === "CANCELLED") this.#end(answer.status);
    } catch (failed) {
      this.trouble = `The cancel did not arrive: ${failed.message}. Try again.`;
    }
    this.wake();
    this.#tell();
  }

  /** Give back what it holds; it is followed no longer. */
  forget() {
    this.forgotten = true;
    this.wake();
    release(this.files);
  }

  async #look() {
    try {
      const report = await this.endpoint.status(this.id);
      if (!this.final && !this.forgotten) await this.#take(report);
      this.trouble = "";
    } catch (failed) {
      if (this.final) return;
      if (failed.status === 404) this.#end("LOST", LOST);
      else if (failed.passes) this.trouble = `No answer (${failed.message}). Trying again until there is one.`;
      else this.#end("FAILED", failed.message);
    }
  }

  async #take(report) {
    if (report.status === "IN_PROGRESS") {
      this.state = report.status;
      this.progress = report.output?.percent === undefined ? null : report.output;
    } else if (report.status === "IN_QUEUE") {
      this.state = report.status;
      this.queue = await this.#place();
    } else {
      this.#finish(report);
    }
  }

  /** Its place in the queue, as far as the endpoint tells. */
  async #place() {
    const health = await this.endpoint.health();
    const place = health.local?.queue.indexOf(this.id) ?? -1;
    const waiting = place >= 0 ? `position ${place + 1} of ${health.local.queue.length}` : `${health.jobs?.inQueue ?? "?"} waiting`;
    const { ready = 0, initializing = 0 } = health.workers ?? {};
    if (ready) return waiting;
    return `${waiting}; ${initializing ? "a worker is starting" : "no worker yet"}`;
  }

  #finish(report) {
    const output = report.output ?? null;
    if (report.status !== "COMPLETED") {
      this.faults = faultsOf(output, report.error);
      this.#end(report.status, report.error ?? "");
    } else if (output === null) {
      this.#end("FAILED", EMPTY);
    } else {
      this.files = filesOf(output);
      this.output = withoutData(output);
      this.#end("COMPLETED");
    }
  }

  #end(state, error = "") {
    Object.assign(this, { state, error, ended: Date.now(), progress: null, trouble: "" });
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  #sleep() {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** An error's faults by the field that they belong to. */
function faultsOf(output, error) {
  const { fields, field, code } = output ?? {};
  if (fields) return fields;
  if (!field) return {};
  const said = String(error).replace(`${code}: `, "");
  return { [field]: said.startsWith(field) ? said.slice(field.length).replace(/^:? /, "") : said };
}
