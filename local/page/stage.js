/** The stage: one take of the tab's clips, large, and a reel of all takes below it. A take is a clip, or its variants side by side. */

import { Card, STATES } from "./card.js";
import { button, byId, element } from "./dom.js";
import { Job } from "./job.js";
import { keep } from "./session.js";
import { explain } from "./words.js";

const NAME = document.title;
const TOLD = { COMPLETED: "is done", FAILED: "failed", CANCELLED: "was cancelled", TIMED_OUT: "ran out of time", LOST: "is lost" };

export class Stage {
  /** @param {Record<string, any>} acts  what a card's buttons do with its job, and `failed` */
  constructor(acts) {
    this.acts = acts;
    this.takes = [];
    this.sent = 0;
    this.#choose(null);
  }

  get jobs() {
    return this.takes.flatMap((take) => take.cards.map((card) => card.job));
  }

  /** Show jobs that an endpoint has as one take, and follow them. @param {object[]} sent  as Job takes them, but for number and take */
  open(sent, again = false) {
    const first = this.sent + 1;
    const jobs = sent.map((one) => new Job({ number: (this.sent += 1), take: first, sent: Date.now(), ...one }));
    this.sent = Math.max(...jobs.map((job) => job.number));
    const take = { node: element("div", { className: "take" }), cards: [], picture: element("img", { alt: "" }), label: element("span") };
    take.item = element("li", {}, (take.button = button("", () => this.#choose(take))));
    take.button.append(take.picture, take.label);
    byId("shown").append(take.node);
    byId("reel").append(take.item);
    this.takes.push(take);
    for (const job of jobs) this.#add(job, take);
    this.#choose(take);
    this.#update(take);
    if (!again) {
      keep(this.jobs);
      byId("stage").scrollIntoView({ block: "nearest" });
      byId("news").textContent = `Clip ${jobs.map((job) => job.number).join(", ")} sent`;
    }
    return jobs;
  }

  #add(job, take) {
    const acts = Object.fromEntries(["rerun", "edit", "advance"].map((name) => [name, () => this.acts[name](job)]));
    const { useSeed } = this.acts, vary = (count) => this.acts.vary(job, count);
    const card = new Card(job, { ...acts, useSeed, vary, remove: () => this.#remove(card, take) });
    let told = "";
    job.addEventListener("change", () => {
      card.show();
      if (take.node.hidden) setPlaying(take, false);
      this.#update(take);
      const news = announcement(job);
      if (news !== told) byId("news").textContent = told = news;
      if (job.final && Object.keys(job.faults).length) this.acts.failed(job);
    });
    take.cards.push(card);
    take.node.append(card.node);
    job.follow();
  }

  #remove(card, take) {
    card.job.forget();
    card.release();
    take.cards = take.cards.filter((one) => one !== card);
    if (take.cards.length) this.#update(take);
    else {
      this.takes = this.takes.filter((one) => one !== take);
      take.node.remove();
      take.item.remove();
      this.#choose(this.takes.at(-1) ?? null);
    }
    keep(this.jobs);
    byId("stage-title").focus();
  }

  #choose(shown) {
    for (const take of this.takes) {
      take.node.hidden = take !== shown;
      take.button.setAttribute("aria-current", String(take === shown));
      setPlaying(take, take === shown);
    }
    byId("example").hidden = shown !== null;
    byId("reel").hidden = this.takes.length < 2;
    shown?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** The take's place in the reel, and the tab's title. */
  #update(take) {
    const [{ job, source }] = take.cards, more = take.cards.length > 1 ? ` +${take.cards.length - 1}` : "";
    const from = job.files.find((file) => file.type === "image" && file.url)?.url ?? source;
    if (from && take.picture.getAttribute("src") !== from) take.picture.src = from;
    take.picture.hidden = !from;
    const state = (take.cards.find((card) => !card.job.final) ?? take.cards[0]).job.state;
    take.label.textContent = `Clip ${job.number}${more}: ${STATES[state] ?? state}`;
    document.title = [status(this.jobs), NAME].filter(Boolean).join(" · ");
  }
}

/** Only what is shown plays, unless nothing should move by itself. */
function setPlaying(take, playing) {
  for (const video of take.node.querySelectorAll("video")) {
    if (!playing) video.pause();
    else if (video.autoplay) video.play().catch(() => {});
  }
}

/** How the tab's jobs are doing, in a word. */
function status(jobs) {
  const going = jobs.filter((job) => !job.final), job = going.find((one) => one.progress) ?? going[0];
  if (job) return job.progress ? `${Math.round(job.progress.percent)}%` : STATES[job.state];
  return STATES[jobs.reduce((one, other) => (other.ended > one.ended ? other : one), { ended: 0 }).state];
}

/** What a screen reader hears: a change of state, and each quarter of the way. */
function announcement(job) {
  const who = `Clip ${job.number}`;
  if (job.final) return `${who} ${TOLD[job.state]}${job.error ? `. ${explain(job.error, job.failure)}` : ""}`;
  if (job.trouble) return `${who}: ${job.trouble}`;
  if (job.state === "IN_QUEUE") return `${who} is waiting`;
  const quarter = Math.floor((job.progress?.percent ?? 0) / 25) * 25;
  return quarter ? `${who} is at ${quarter}%` : `${who} is running`;
}
