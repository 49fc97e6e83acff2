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
      const { url, ...image } = await lastFrame(job);
      form.load({ ...job.input, seed: undefined, image_url: url }, url ? null : image);
      form.prompt.input.focus();
    },
    // Only while the form still is what was sent: nobody wants to be called back from the next one.
    failed: (job) => job === form.sent && form.showFaults(job.faults, isIdle()),
    useSeed: (seed) => form.setSeed(seed),
  });
  byId("example-buttons").append(button("Run this example", async () => {
    await form.image.useSample();
    form.setPrompt(byId("example-prompt").textContent);
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
  const [job] = await send(form, stage, endpoint, [form.input], form.image.image);
  form.sent = job ?? null;
}

/** Send a request for each input; the jobs. */
async function send(form, stage, endpoint, inputs, image) {
  const generate = byId("generate"), sent = [];
  if (generate.ariaBusy === "true") return [];
  generate.ariaBusy = "true";
  try {
    const data = image ? { image: await toBase64(image) } : {};
    for (const input of inputs) sent.push({ ...(await endpoint.run({ ...data, ...input })), endpoint, input, image });
  } catch (failed) {
    form.showTrouble(`Not sent: ${failed.message}.`);
  } finally {
    generate.ariaBusy = "false";
  }
  return sent.length ? stage.open(sent.map(({ id, endpoint, input, image }) => ({ id, endpoint, input, image }))) : [];
}

/** 53 random bits, as JavaScript's numbers hold them. */
function randomSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}

/** Whether the focus is where it was left after sending, so that moving it takes nobody away from anything. */
function isIdle() {
  return [document.body, byId("generate")].includes(document.activeElement);
}

start().catch((failed) => {
  byId("summary").textContent = failed.message === NO_SCHEMA ? NO_SCHEMA : "The server does not answer. Reload this page once it runs.";
});
