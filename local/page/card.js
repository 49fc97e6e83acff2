/** A job in the history: its state while it runs, its result or error after that. */

import { codeOf } from "./code_view.js";
import { button, duration, element, freshId } from "./dom.js";
import { resultOf } from "./result.js";

const STATES = {
  IN_QUEUE: "Waiting",
  IN_PROGRESS: "Running",
  COMPLETED: "Done",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  TIMED_OUT: "Timed out",
  LOST: "Lost",
};

export class Card {
  /**
   * @param {import("./job.js").Job} job
   * @param {{reuse: () => void, remove: () => void, useSeed: (seed: string) => void}} acts
   */
  constructor(job, acts) {
    this.job = job;
    this.acts = acts;
    const title = freshId("job");
    this.state = element("span", { className: "state" });
    this.bar = element("progress", { max: 100, "aria-label": `Progress of job ${job.number}` });
    this.line = element("p", { className: "line-now" });
    this.trouble = element("p", { className: "trouble" });
    this.body = element("div", { className: "body", id: `${title}-body` });
    this.thumb = job.picture?.width ? element("img", { className: "thumb", alt: "", src: URL.createObjectURL(job.picture.blob) }) : null;
    this.cancel = button("Cancel", () => job.cancel());
    this.toggle = button("Hide", () => this.#open(this.body.hidden), { "aria-controls": this.body.id });
    this.node = element(
      "li",
      {},
      element(
        "article",
        { className: "card", "aria-labelledby": title },
        element("header", {}, this.thumb, element("div", {}, element("h3", { id: title }, `Job ${job.number} `, this.state), this.#words())),
        this.bar,
        this.line,
        this.trouble,
        element(
          "div",
          { className: "actions" },
          this.cancel,
          this.toggle,
          button("Use these settings", acts.reuse),
          (this.remover = button("Remove", acts.remove)),
        ),
        this.body,
      ),
    );
    this.body.append(codeOf(job));
    this.#open(false);
    this.show();
  }

  /** Bring it up to date. */
  show() {
    const { job } = this;
    if (job.final && !this.ended) this.#end();
    this.state.textContent = STATES[job.state] ?? job.state;
    this.state.dataset.state = job.state;
    this.bar.hidden = job.final;
    if (job.progress) this.bar.value = job.progress.percent;
    else this.bar.removeAttribute("value");
    this.line.textContent = now(job);
    this.trouble.textContent = job.trouble;
    this.trouble.hidden = !job.trouble;
    this.cancel.hidden = job.final;
    this.remover.hidden = !job.final;
  }

  /** Give back what it holds. */
  release() {
    if (this.thumb) URL.revokeObjectURL(this.thumb.src);
    this.node.remove();
  }

  #words() {
    const where = this.job.endpoint.local ? "" : ` · endpoint ${this.job.endpoint.id}`;
    return element("p", { className: "words" }, `${this.job.input.prompt}${where}`);
  }

  #end() {
    this.ended = true;
    // The cancel button goes, and would take the focus along.
    if (document.activeElement === this.cancel) this.toggle.focus();
    if (this.job.state === "COMPLETED") this.body.prepend(resultOf(this.job, this.acts.useSeed));
    else if (this.job.error) this.body.prepend(element("p", { className: "error" }, this.job.error));
    if (this.job.state !== "CANCELLED") this.#open(true);
  }

  #open(open) {
    this.body.hidden = !open;
    this.toggle.textContent = open ? "Hide" : "Show";
    this.toggle.setAttribute("aria-expanded", String(open));
    for (const video of open ? [] : this.body.querySelectorAll("video")) video.pause();
  }
}

/** What the job is at, in one line. */
function now(job) {
  if (job.final) return `${job.state === "COMPLETED" ? "Took" : "After"} ${duration(job.elapsed)}.`;
  const elapsed = `${duration(job.elapsed)} so far`;
  if (job.state === "IN_QUEUE") return [job.queue || "sent", elapsed].join(" · ");
  if (!job.progress) return `a worker has it · ${elapsed}`;
  const { percent, node, step, steps, eta_seconds: left } = job.progress;
  const parts = [`${Math.round(percent)} %`, node, steps && `step ${step} of ${steps}`, left !== undefined && `about ${duration(left)} left`];
  return [...parts.filter(Boolean), elapsed].join(" · ");
}
