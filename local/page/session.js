/** The tab's jobs in sessionStorage: they survive a reload and end with the tab. Results stay at the endpoint, keys nowhere. */

import { fromBase64 } from "./files.js";
import { toBase64 } from "./image.js";

const JOBS = "jobs", IMAGE = "image-of-";

/** @param {import("./job.js").Job[]} jobs  all of them */
export async function keep(jobs) {
  const images = new Map();
  const records = jobs.map(({ id, number, take, endpoint, input, sent, image }) => {
    if (image) images.set((image.key ??= `${IMAGE}${number}`), image);
    const about = image && { key: image.key, name: image.name, type: image.blob.type, width: image.width, height: image.height };
    return { id, number, take, endpoint: endpoint.local ? null : endpoint.id, input, sent, image: about };
  });
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(IMAGE) && !images.has(key)) sessionStorage.removeItem(key);
  try {
    sessionStorage.setItem(JOBS, JSON.stringify(records));
    for (const [key, image] of images) if (!sessionStorage.getItem(key)) sessionStorage.setItem(key, await toBase64(image));
  } catch {
    // Full: such an image is not there after a reload, and the page then asks for it.
  }
}

/** What `keep` has kept: jobs as their constructor takes them, with the endpoint's id. */
export function recall() {
  const images = new Map();
  return JSON.parse(sessionStorage.getItem(JOBS) ?? "[]").map((record) => ({ ...record, image: record.image && imageOf(record.image, images) }));
}

function imageOf({ key, type, ...about }, images) {
  const data = sessionStorage.getItem(key);
  if (!data) return null;
  if (!images.has(key)) images.set(key, { ...about, key, note: "", blob: fromBase64(data, type), data: Promise.resolve(data) });
  return images.get(key);
}
