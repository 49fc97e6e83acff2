/** The clip's size for a picture: worker/request.py's choice, shown before the job is sent. */

const TRAINED = {
  "480p": [[848, 480], [720, 544], [768, 512], [640, 640]],
  "720p": [[1280, 720], [1104, 832], [1168, 784], [960, 960], [1456, 624]],
};

/** @returns {[number, number]} the trained size whose aspect is nearest to the picture's; null for another resolution */
export function trainedSize(resolution, width, height) {
  const sizes = TRAINED[resolution]?.flatMap(([long, short]) => [[long, short], [short, long]]);
  if (!sizes) return null;
  const distance = ([w, h]) => Math.abs(Math.log((w * height) / (h * width)));
  return sizes.reduce((best, size) => (distance(size) < distance(best) ? size : best));
}

/** The share of a picture that a centre crop to the clip's aspect loses. */
export function lostByCrop(width, height, clipWidth, clipHeight) {
  const ratio = (width * clipHeight) / (height * clipWidth);
  return 1 - Math.min(ratio, 1 / ratio);
}
