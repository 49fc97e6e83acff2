/** The start picture: read, looked at, and made smaller where the request could not carry it. */

/** Bytes: /run takes 10 MB, base64 adds a third, and the other fields want room. */
export const LIMIT = 7_000_000;
/** Pixels that the worker takes, unless it is set otherwise. */
const MAX_PIXELS = 64_000_000;
/** A clip's sides are 2048 at most, so this loses nothing that a clip could show. */
const SIDES = [4096, 3072, 2048, 1024];
const QUALITY = 0.92;

/**
 * @typedef {object} Picture
 * @property {Blob} blob  as it is sent
 * @property {string} name  a file name; for the sample its path in the repository
 * @property {number} width  0: this browser cannot read it
 * @property {number} height
 * @property {string} note  what was done to it; empty: nothing
 */

/**
 * @param {Blob} blob @param {string} name
 * @returns {Promise<Picture>} raises Error with the fault
 */
export async function readPicture(blob, name) {
  if (!blob.size) throw new Error("is an empty file");
  const bitmap = await decode(blob);
  if (!bitmap) {
    if (blob.size > LIMIT) {
      throw new Error(`has ${megabytes(blob.size)}, and this browser cannot make it smaller: ${megabytes(LIMIT)} fit`);
    }
    return { blob, name, width: 0, height: 0, note: "This browser cannot show the file. It is sent as it is." };
  }
  const { width, height } = bitmap;
  try {
    if (blob.size <= LIMIT && width * height <= MAX_PIXELS) return { blob, name, width, height, note: "" };
    return await shrink(bitmap, blob, name);
  } finally {
    bitmap.close();
  }
}

async function decode(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}

/** @param {ImageBitmap} bitmap @returns {Promise<Picture>} */
async function shrink(bitmap, blob, name) {
  for (const side of SIDES) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(length * scale)));
    const smaller = await draw(bitmap, width, height);
    if (smaller.size <= LIMIT) {
      const was = `${bitmap.width} × ${bitmap.height}, ${megabytes(blob.size)}`;
      const note = `Made smaller in this browser, as a request holds no more: it was ${was}; ` +
        `${width} × ${height}, ${megabytes(smaller.size)} are sent.`;
      return { blob: smaller, name: `${name.replace(/\.[^.]*$/, "")}-smaller.jpg`, width, height, note };
    }
  }
  throw new Error("cannot be made small enough for a request");
}

function draw(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // the worker lays transparency on white too
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/** @param {Blob} blob @returns {Promise<string>} */
export function toBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1]);
    reader.onerror = () => reject(new Error("cannot be read any more: choose it again"));
    reader.readAsDataURL(blob);
  });
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
