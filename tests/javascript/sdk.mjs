// Every call of the JavaScript SDK against the endpoint of the environment; what each brought, as JSON in the last line.
import { setTimeout as sleep } from "node:timers/promises";
import runpodSdk from "runpod-sdk";

const { RUNPOD_API_KEY, ENDPOINT_ID, RUNPOD_ENDPOINT_BASE_URL, JOB_INPUT } = process.env;
const endpoint = runpodSdk(RUNPOD_API_KEY, { baseUrl: RUNPOD_ENDPOINT_BASE_URL }).endpoint(ENDPOINT_ID);
const short = { ...JSON.parse(JOB_INPUT), steps: 2 };
const long = { ...short, steps: 100 };

async function until(job, ends, ask = (id) => endpoint.status(id, 10_000)) {
  let report;
  do {
    await sleep(100);
    report = await ask(job.id);
  } while (!ends(report));
  return report;
}

const found = {};
found.runSync = await endpoint.runSync({ input: short });
found.runSyncPastItsTime = await endpoint.runSync({ input: long }, 1000);
found.statusSync = await until(found.runSyncPastItsTime, ({ completed }) => completed, (id) => endpoint.statusSync(id));
const job = await endpoint.run({ input: short });
found.run = job;
found.status = await until(job, ({ completed }) => completed);
found.stream = [];
for await (const piece of endpoint.stream(job.id)) found.stream.push(piece);
const running = await endpoint.run({ input: long });
found.progress = await until(running, ({ output }) => output?.percent !== undefined);
const waiting = await endpoint.run({ input: long });
found.health = await endpoint.health();
found.purgeQueue = await endpoint.purgeQueue();
found.purged = await endpoint.status(waiting.id);
found.cancel = await endpoint.cancel(running.id);
found.cancelled = await endpoint.status(running.id);
console.log(JSON.stringify(found));
