/** The page's parts, put together. */

import { byId } from "./dom.js";
import { here } from "./endpoint.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { toBase64 } from "./picture.js";
import { Place } from "./place.js";
import { inputFields, loadDescription } from "./schema.js";

const NO_SCHEMA = "This server tells no fields of a worker: start it with make serve.";

async function start() {
  const [description, health] = await Promise.all([loadDescription(), here().health()]);
  const fields = inputFields(description.components.schemas);
  if (!fields.length) throw new Error(NO_SCHEMA);
  byId("preview-note").hidden = !health.local?.preview;
  const place = new Place();
  const form = new Form(fields, () => send(form, place, history));
  const history = new History({
    reuse: (job) => {
      form.load(job.input, job.picture);
      form.showFaults(job.faults, false);
      byId("form-title").focus();
    },
    failed: (job) => {
      // Only while the form still is what was sent: nobody wants to be called back from the next one.
      if (job === form.sent) form.showFaults(job.faults, isIdle());
    },
    useSeed: (seed) => form.setSeed(seed),
  });
  byId("generate").disabled = false;
}

async function send(form, place, history) {
  const generate = byId("generate");
  if (generate.ariaBusy === "true") return;
  const faults = form.faults(), endpoint = place.endpoint();
  form.showFaults(faults, endpoint !== null);
  if (!endpoint || Object.keys(faults).length) return;
  const { input } = form, { picture } = form.picture;
  generate.ariaBusy = "true";
  try {
    const image = picture ? { image: await toBase64(picture.blob) } : {};
    const { id } = await endpoint.run({ ...image, ...input });
    form.sent = history.add(id, endpoint, input, picture);
  } catch (failed) {
    form.showTrouble(`Nothing was sent: ${failed.message}.`);
  } finally {
    generate.ariaBusy = "false";
  }
}

/** Whether the focus is where it was left after sending, so that moving it takes nobody away from anything. */
function isIdle() {
  return [document.body, byId("generate")].includes(document.activeElement);
}

start().catch((failed) => {
  byId("summary").textContent = failed.message === NO_SCHEMA ? NO_SCHEMA : "The server does not answer. Load the page again once it runs.";
});
