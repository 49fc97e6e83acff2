/** The tab's jobs in sessionStorage: they survive a reload and end with the tab. Results stay at the endpoint, keys nowhere. */

import { fromBase64 } from "./files.js";
import { toBase64 } from "./image.js";

const JOBS = "jobs", IMAGE = "image-of-";
/** Characters of images, the latest first: browsers keep some five million in all. */
const ROOM = 4_000_000;

/** @param {import("./job.js").Job[]} jobs  all of them */
export async function keep(jobs) {
  const images = new Map();
  const records = jobs.map(({ id, number, take, endpoint, input, sent, image }) => {
    if (image) images.set((image.key ??= `${IMAGE}${number}`), image);
    const about = image && { key: image.key, name: image.name, type: image.blob.type, width: image.width, height: image.height };
    return { id, number, take, endpoint: endpoint.local ? null : endpoint.id, input, sent, image: about };
  });
  let room = ROOM;
  const kept = new Map();
  for (const [key, image] of [...images].reverse()) if ((room -= (await toBase64(image)).length) > 0) kept.set(key, await toBase64(image));
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(IMAGE) && !kept.has(key)) sessionStorage.removeItem(key);
    for (const [key, data] of [[JOBS, JSON.stringify(records)], ...kept]) sessionStorage.setItem(key, data);
  } catch {
    // Less room than that, or none where storage is switched off.
  }
}

/** What `keep` has kept: jobs as their constructor takes them, with the endpoint's id. An image may be missing. */
export function recall() {
  const images = new Map();
  try {
    return JSON.parse(sessionStorage.getItem(JOBS) ?? "[]").map((record) => ({ ...record, image: record.image && imageOf(record.image, images) }));
  } catch {
    return [];
  }
}

function imageOf({ key, type, ...about }, images) {
  const data = sessionStorage.getItem(key);
  if (data && !images.has(key)) images.set(key, { ...about, key, note: "", blob: fromBase64(data, type), data: Promise.resolve(data) });
  return images.get(key) ?? null;
}
