/** The jobs of this tab: kept in its memory and nowhere else, as pictures and prompts are private. */

import { Card } from "./card.js";
import { byId } from "./dom.js";
import { Job } from "./job.js";

const TOLD = {
  COMPLETED: "is done",
  FAILED: "has failed",
  CANCELLED: "is cancelled",
  TIMED_OUT: "ran out of time",
  LOST: "is lost",
};

export class History {
  /** @param {{reuse: (job: Job) => void, failed: (job: Job) => void, useSeed: (seed: string) => void}} acts */
  constructor(acts) {
    this.acts = acts;
    this.sent = 0;
    this.list = byId("jobs");
    this.#count();
  }

  /** Show a job that the endpoint knows as `id`, and follow it. */
  add(id, endpoint, input, picture) {
    this.sent += 1;
    const job = new Job(this.sent, endpoint, input, picture);
    const card = new Card(job, {
      reuse: () => this.acts.reuse(job),
      remove: () => this.#remove(job, card),
      useSeed: this.acts.useSeed,
    });
    let told = "";
    job.addEventListener("change", () => {
      card.show();
      const news = announcement(job);
      if (news !== told) announce((told = news));
      if (job.final && Object.keys(job.faults).length) this.acts.failed(job);
    });
    this.list.prepend(card.node);
    this.#count();
    card.node.scrollIntoView();
    announce(`Job ${job.number} is sent`);
    job.follow(id);
    return job;
  }

  #remove(job, card) {
    job.forget();
    card.release();
    this.#count();
    byId("jobs-title").focus();
  }

  #count() {
    byId("no-jobs").hidden = this.list.children.length > 0;
  }
}

/** What a screen reader hears: a change of state, and each quarter of the way. */
function announcement(job) {
  if (job.final) return `Job ${job.number} ${TOLD[job.state]}${job.error ? `: ${job.error}` : ""}`;
  if (job.trouble) return `Job ${job.number}: ${job.trouble}`;
  if (job.state === "IN_QUEUE") return `Job ${job.number} waits`;
  const quarter = Math.floor((job.progress?.percent ?? 0) / 25) * 25;
  return quarter ? `Job ${job.number} is at ${quarter} %` : `Job ${job.number} runs`;
}

function announce(text) {
  byId("news").textContent = text;
}
