/** A job on the stage: its image and progress while it runs, then the clip with what to do next, or the error. */

import { clipOf, link } from "./clip.js";
import { detailsOf } from "./details.js";
import { button, element, freshId } from "./dom.js";
import { duration, explain, readable } from "./words.js";

export const STATES = {
  IN_QUEUE: "Waiting", IN_PROGRESS: "Running", COMPLETED: "Done", FAILED: "Failed", CANCELLED: "Cancelled", TIMED_OUT: "Timed out", LOST: "Lost",
};

export class Card {
  /** @param {import("./job.js").Job} job @param {Record<string, (value?: any) => void>} acts  what its buttons do */
  constructor(job, acts) {
    Object.assign(this, { job, acts });
    const title = freshId("clip");
    /** Where its image can be loaded from; empty: nowhere. */
    this.source = job.image?.width ? URL.createObjectURL(job.image.blob) : (job.input.image_url ?? "");
    this.state = element("span", { className: "state" });
    const { width, height } = job.image ?? {}, still = { src: this.source, width: width || null, height: height || null };
    this.screen = element("div", { className: "screen" }, this.source ? element("img", { alt: "The image it starts from", ...still }) : null);
    this.bar = element("progress", { max: 100, "aria-label": `Progress of clip ${job.number}` });
    this.line = element("p", { className: "now" });
    this.trouble = element("p", { className: "trouble" });
    this.actions = element("div", { className: "actions" }, (this.cancel = button("Cancel", () => job.cancel())));
    const heading = element("h3", { id: title }, `Clip ${job.number} `, this.state);
    this.header = element("header", {}, heading, element("p", { className: "words" }, job.input.prompt ?? ""));
    const parts = [this.header, this.screen, this.bar, this.line, this.trouble, this.actions];
    this.node = element("article", { className: "card", "aria-labelledby": title }, ...parts);
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
  }

  /** Give back what it holds. */
  release() {
    if (this.job.image) URL.revokeObjectURL(this.source);
    this.node.remove();
  }

  #end() {
    this.ended = true;
    const { job, acts } = this, done = job.state === "COMPLETED", focused = document.activeElement === this.cancel;
    const clip = done ? clipOf(job) : null;
    if (clip) this.screen.replaceWith(clip);
    this.header.append(this.line);
    if (job.error) this.header.after(element("p", { className: "error" }, explain(job.error, job.failure)));
    this.actions.replaceChildren(...(done ? this.#next() : [button("Rerun", acts.rerun), button("Edit settings", acts.edit)]));
    const warnings = job.output?.warnings?.map((text) => element("li", {}, readable(text))) ?? [];
    if (warnings.length) this.node.append(element("ul", { className: "warnings", "aria-label": "Warnings" }, ...warnings));
    this.node.append(detailsOf(job, acts));
    // The cancel button is gone, and would have taken the focus along.
    if (focused) this.actions.firstChild.focus();
  }

  /** What to do with a clip. */
  #next() {
    const { job, acts } = this, video = job.files.find((file) => file.type === "video" && file.url);
    const options = [2, 3, 4].map((number) => element("option", { selected: number === 3 }, String(number)));
    const count = element("select", { "aria-label": "Number of variants" }, ...options);
    return [
      video ? link(element("a", { className: "button primary" }, "Save clip"), video) : null,
      button("Rerun", acts.rerun, { title: "Send the same request again" }),
      element("span", { className: "joined" }, button("Vary", () => acts.vary(Number(count.value)), { title: "Same settings, new seeds, side by side" }), count),
      job.files.some((file) => file.url && file.type !== "file") ? button("Continue from the last frame", acts.advance) : null,
      button("Edit settings", acts.edit),
    ].filter(Boolean);
  }
}

/** What the job is at, in one line. */
function now(job) {
  if (job.final) return `${job.state === "COMPLETED" ? "Took" : "After"} ${duration(job.elapsed)}`;
  const elapsed = `${duration(job.elapsed)} so far`;
  if (job.state === "IN_QUEUE") return ["Waiting", job.queue, elapsed].filter(Boolean).join(" · ");
  if (!job.progress) return `Started, waiting for progress · ${elapsed}`;
  const { percent, node, step, steps, eta_seconds: left } = job.progress;
  const parts = [`${Math.round(percent)}%`, node, steps && `step ${step} of ${steps}`, left !== undefined && `about ${duration(left)} left`];
  return [...parts.filter(Boolean), elapsed].join(" · ");
}
