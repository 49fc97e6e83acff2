/** The page's parts, put together. */

import { lastFrame } from "./clip.js";
import { button, byId } from "./dom.js";
import { here } from "./endpoint.js";
import { Form } from "./form.js";
import { toBase64 } from "./image.js";
import { Place } from "./place.js";
import { inputFields, loadDescription } from "./schema.js";
import { recall } from "./session.js";
import { Stage } from "./stage.js";

const NO_SCHEMA = "This server does not describe a worker. Start it with make serve.";
const GONE = "the image did not survive the reload: choose it again";

async function start() {
  const [description, health] = await Promise.all([loadDescription(), here().health()]);
  const fields = inputFields(description.components.schemas);
  if (!fields.length) throw new Error(NO_SCHEMA);
  byId("preview-note").hidden = !health.local?.preview;
  if (/Mac|iP/.test(navigator.platform)) byId("generate").querySelector("kbd").textContent = "⌘ Enter";
  const place = new Place();
  const form = new Form(fields, () => submit(form, place, stage));
  const again = (job, inputs) => (job.image || job.input.image_url ? send(form, stage, job.endpoint, inputs, job.image) : edit(job));
  const edit = (job) => {
    form.load(job.input, job.image);
    form.showFaults(job.image || job.input.image_url ? job.faults : { image: GONE }, false);
    form.prompt.input.focus();
  };
  const stage = new Stage({
    edit,
    rerun: (job) => again(job, [job.input]),
    vary: (job, count) => again(job, Array.from({ length: count }, () => ({ ...job.input, seed: randomSeed() }))),
    advance: async (job) => {
      const frame = await lastFrame(job).catch(() => null);
      if (!frame) return form.showTrouble("The last frame cannot be read: this browser cannot play the clip.");
      form.load({ ...job.input, seed: undefined, image_url: frame.url }, frame.url ? null : frame);
      form.prompt.input.focus();
    },
    // Only while the form still is what was sent, and the focus where that left it: nobody wants to be called back from the next one.
    failed: (job) => job === form.sent && form.showFaults(job.faults, [document.body, byId("generate")].includes(document.activeElement)),
    useSeed: (seed) => form.setSeed(seed),
  });
  byId("example-buttons").append(button("Run this example", async () => {
    form.prompt.load(byId("example-prompt").textContent);
    await form.image.useSample();
    form.node.requestSubmit();
  }, { className: "primary" }));
  restore(form, place, stage);
  byId("generate").disabled = false;
}

/** The jobs of before a reload, and the last one's settings in the form. */
function restore(form, place, stage) {
  const records = recall(), jobs = records.map((record) => ({ ...record, endpoint: place.of(record.endpoint) }));
  for (const take of new Set(records.map((record) => record.take))) stage.open(jobs.filter((job) => job.take === take), true);
  const last = jobs.at(-1);
  if (!last) return;
  form.load(last.input, last.image);
  if (!last.endpoint.local) place.choose(last.endpoint.id);
}

async function submit(form, place, stage) {
  const faults = form.faults(), endpoint = place.endpoint();
  form.showFaults(faults, endpoint !== null);
  if (!endpoint || Object.keys(faults).length) return;
  [form.sent = null] = await send(form, stage, endpoint, [form.input], form.image.image);
}

/** Send a request for each input; the jobs. */
async function send(form, stage, endpoint, inputs, image) {
  const generate = byId("generate"), jobs = [];
  if (generate.ariaBusy === "true") return [];
  generate.ariaBusy = "true";
  try {
    const data = image ? { image: await toBase64(image) } : {};
    for (const input of inputs) jobs.push({ id: (await endpoint.run({ ...data, ...input })).id, endpoint, input, image });
  } catch (failed) {
    form.showTrouble(`Not sent: ${failed.message}.`);
  } finally {
    generate.ariaBusy = "false";
  }
  return jobs.length ? stage.open(jobs) : [];
}

/** Up to 53 random bits, as JavaScript's numbers hold them. */
const randomSeed = () => Math.floor(Math.random() * 2 ** 53);

start().catch((failed) => {
  byId("summary").textContent = failed.message === NO_SCHEMA ? NO_SCHEMA : "The server does not answer. Reload this page once it runs.";
});
