/** One job's life, from the request to its end. */

import { filesOf, release, withoutData } from "./files.js";

/** Milliseconds between two looks: short ones first, as a preview takes seconds and a clip minutes. */
const POLL = [250, 1000];
const LOST = "The endpoint no longer has this job: it restarted, or the result expired. Rerun it to get a new clip.";
const EMPTY = "The job completed without a result: it was larger than RunPod's limit.";

/**
 * Sends "change" whenever it has news.
 * `state` is the platform's, or "LOST" once the endpoint does not know the job.
 */
export class Job extends EventTarget {
  /** What a failure's report holds beside its error. */
  failure = {};
  /** Why the endpoint was not reached the last time; empty: it was. */
  trouble = "";

  /**
   * @param {object} sent  `id`, the endpoint's; `endpoint`; `number`, its place among the tab's jobs; `take`, that of the
   * first job it is shown beside; `input` as sent, less the image's data; `image`, a StartImage or null; `sent`, when, in ms
   */
  constructor(sent) {
    super();
    Object.assign(this, { state: "IN_QUEUE", queue: "", progress: null, error: "", output: null, files: [], ended: 0, forgotten: false, wake: () => {} }, sent);
  }

  get final() {
    return !["IN_QUEUE", "IN_PROGRESS"].includes(this.state);
  }

  /** What failed, by field; of a list's entry, by the list. */
  get faults() {
    const { fields, field, code } = this.failure;
    if (fields) return Object.fromEntries(Object.entries(fields).map(([name, fault]) => [name.split("[", 1)[0], fault]));
    if (!field) return {};
    const said = this.error.replace(`${code}: `, "");
    return { [field]: said.startsWith(field) ? said.slice(field.length).replace(/^:? /, "") : said };
  }

  /** Seconds since it was sent, until its end. */
  get elapsed() {
    return ((this.ended || Date.now()) - this.sent) / 1000;
  }

  /** Follow it until it ends or is forgotten. */
  async follow() {
    while (!this.final && !this.forgotten) {
      await this.#look();
      this.dispatchEvent(new Event("change"));
      if (!this.final) await this.#sleep();
    }
  }

  async cancel() {
    try {
      const answer = await this.endpoint.cancel(this.id);
      if (answer.status === "CANCELLED") this.#end(answer.status);
    } catch (failed) {
      this.trouble = `Not cancelled: ${failed.message}. Try again.`;
    }
    this.wake();
    this.dispatchEvent(new Event("change"));
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
      else if (failed.passes) this.trouble = `Not reached: ${failed.message}. ${failed.refused ? "" : "Trying again."}`;
      else this.#end("FAILED", failed.message);
    }
  }

  async #take(report) {
    if (!["IN_QUEUE", "IN_PROGRESS"].includes(report.status)) return this.#finish(report);
    this.state = report.status;
    this.progress = report.output?.percent === undefined ? null : report.output;
    this.queue = this.state === "IN_QUEUE" ? await this.#place() : "";
  }

  /** Its place in the queue, as far as the endpoint tells. */
  async #place() {
    const health = await this.endpoint.health();
    const place = health.local?.queue.indexOf(this.id) ?? -1;
    const waiting = place >= 0 ? `number ${place + 1} of ${health.local.queue.length} in the queue` : `${health.jobs?.inQueue ?? "?"} in the queue`;
    const { ready = 0, initializing = 0 } = health.workers ?? {};
    return ready ? waiting : `${waiting}, ${initializing ? "a worker is starting" : "no worker yet"}`;
  }

  #finish(report) {
    const output = report.output ?? null, { delayTime: waited, executionTime: ran } = report;
    // The platform's own times: after a reload, now is not when it ended.
    if (ran) this.ended = this.sent + (waited ?? 0) + ran;
    if (report.status !== "COMPLETED") {
      this.failure = output ?? {};
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
    Object.assign(this, { state, error: String(error), ended: this.ended || Date.now(), progress: null, trouble: "" });
  }

  #sleep() {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, Math.min(Math.max(POLL[0], 100 * this.elapsed), POLL[1]));
    });
  }
}
