/** The start image: read, checked, and made smaller where the request could not carry it. */

/** Bytes: /run takes 10 MB, base64 adds a third, and the other fields want room. */
const LIMIT = 7_000_000;
/** Pixels that the worker takes, unless it is set otherwise. */
const MAX_PIXELS = 64_000_000;
/** A clip's sides are 2048 at most, so this loses nothing that a clip could show. */
const SIDES = [4096, 3072, 2048, 1024];
const QUALITY = 0.92;
const READ_BY_WORKER = /^image\/(png|jpeg|webp|gif|bmp|tiff|avif|heic|heif)$/;
const FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC";

/**
 * @typedef {{blob: Blob, name: string, width: number, height: number, note: string}} StartImage
 * As it is sent. `name` is a file's, for the sample its path in the repository; sizes in pixels, 0 where this browser
 * cannot read it; `note`: what was done to it.
 */

/** @param {number} maxAspect  long side by short side @returns {Promise<StartImage>} raises Error with the fault */
export async function readImage(blob, name, maxAspect = Infinity) {
  if (!blob.size) throw new Error("is an empty file: choose another one");
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) return await asItIs(blob, name);
  const { width, height } = bitmap;
  try {
    if (Math.max(width, height) > maxAspect * Math.min(width, height)) {
      throw new Error(`is ${width} × ${height}: the long side may be at most ${maxAspect} times the short one. Crop it first`);
    }
    const fits = blob.size <= LIMIT && width * height <= MAX_PIXELS;
    return fits && (!blob.type || READ_BY_WORKER.test(blob.type)) ? { blob, name, width, height, note: "" } : await redraw(bitmap, blob, name);
  } finally {
    bitmap.close();
  }
}

/** A file that the browser cannot read: the worker can if it is a TIFF or a phone's HEIC. */
async function asItIs(blob, name) {
  const start = String.fromCharCode(...new Uint8Array(await blob.slice(0, 12).arrayBuffer()));
  if (!/^(II\*\0|MM\0\*|....ftyp(hei|mif1))/s.test(start)) throw new Error(`is not a readable image: use ${FORMATS}`);
  if (blob.size > LIMIT) throw new Error(`has ${megabytes(blob.size)}, at most ${megabytes(LIMIT)} can be sent: save it as JPEG first`);
  return { blob, name, width: 0, height: 0, note: "This browser cannot show the file. It is sent as it is." };
}

/** @param {ImageBitmap} bitmap @returns {Promise<StartImage>} as a JPEG that fits */
async function redraw(bitmap, blob, name) {
  for (const side of SIDES) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(length * scale)));
    const drawn = await draw(bitmap, width, height);
    if (drawn.size > LIMIT) continue;
    const was = `${bitmap.width} × ${bitmap.height}, ${megabytes(blob.size)}`;
    const note = `Converted to fit a request: ${was} became ${width} × ${height}, ${megabytes(drawn.size)}.`;
    return { blob: drawn, name: `${name.replace(/\.[^.]*$/, "")}-smaller.jpg`, width, height, note };
  }
  throw new Error("cannot be made small enough for a request: choose a smaller one");
}

/** An image or a video's current picture as a JPEG. */
export function draw(source, width, height) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.fillStyle = "white"; // the worker lays transparency on white too
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/** The image's data for a request. @param {StartImage} image @returns {Promise<string>} */
export function toBase64(image) {
  image.data ??= new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1]);
    reader.onerror = () => reject(new Error("the image can no longer be read: choose it again"));
    reader.readAsDataURL(image.blob);
  });
  return image.data;
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
