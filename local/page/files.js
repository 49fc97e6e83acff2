/** The files of an answer: from the reply, by URL, or on the endpoint's volume. */

/**
 * @typedef {{name: string, type: "video" | "image" | "file", blob: Blob | null, url: string, place: string}} ClipFile
 * `blob`: in the reply; `url`: to show and to save it, empty where it lies on the volume; `place`: where it lies there.
 */

/** @returns {ClipFile[]} in the answer's order; `release` gives their memory back */
export function filesOf(output) {
  const images = new Map(list(output.images).map((image) => [image.filename, image]));
  return list(output.outputs).map((entry) => {
    const video = entry.encoding === "video_url" && { type: "base64", data: String(output.video_url).split(",")[1] ?? "" };
    const elsewhere = video || (entry.encoding === "images" && images.get(entry.filename));
    const encoding = { base64: "base64", s3_url: "url", volume: "volume" }[elsewhere?.type] ?? entry.encoding;
    return { name: entry.filename, type: entry.type, ...content(encoding, entry, elsewhere?.data ?? entry.data) };
  });
}

function content(encoding, entry, data) {
  if (encoding === "base64") {
    const blob = fromBase64(data, entry.mime_type);
    return { blob, url: URL.createObjectURL(blob), place: "" };
  }
  if (encoding === "url") return { blob: null, url: /^https?:/i.test(data) ? data : "", place: "" };
  const { bucket, key, endpoint_url: server } = entry.s3 ?? {};
  const place = [entry.path ?? data, bucket ? `s3://${bucket}/${key} at ${server}` : ""].filter(Boolean).join(", or ");
  return { blob: null, url: "", place };
}

/** @param {string} data @param {string} type  a MIME type */
export function fromBase64(data, type) {
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
}

/** What another worker sends may be anything. */
const list = (value) => (Array.isArray(value) ? value : []);

/** @param {ClipFile[]} files */
export function release(files) {
  for (const file of files) if (file.blob) URL.revokeObjectURL(file.url);
}

/** An answer without its files' contents: short, and all that a person reads. */
export function withoutData(output) {
  const shorten = (entry) => (typeof entry.data === "string" ? { ...entry, data: "..." } : entry);
  const lists = ["outputs", "images"].filter((name) => Array.isArray(output?.[name]));
  if (!lists.length) return output;
  const video = typeof output.video_url === "string" ? { video_url: `${output.video_url.slice(0, 30)}...` } : {};
  return { ...output, ...video, ...Object.fromEntries(lists.map((name) => [name, output[name].map(shorten)])) };
}
