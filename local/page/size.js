/** A clip's size for an image, as the worker chooses it, and what its sampling costs: shown before the job is sent. */

/** Tokens of the text, and the operations for each token in linear layers and attention: 54 blocks of width 2048. */
const TEXT = 929, LINEAR = 5.42e9, ATTENTION = 4 * 54 * 2048;

/** The one of a resolution's `trained` sizes (landscape), as it is or upright, whose shape is nearest to the image's. */
export function nearestSize(trained, width, height) {
  const sizes = trained.flatMap(([long, short]) => [[long, short], [short, long]]);
  const distance = ([w, h]) => Math.abs(Math.log((w * height) / (h * width)));
  return sizes.reduce((best, size) => (distance(size) < distance(best) ? size : best));
}

/** An upscaled clip's size: of its resolution's `trained` sizes, or half as large again. */
export const larger = (size, trained) => (trained ? nearestSize(trained, ...size) : size.map((side) => Math.trunc(1.5 * side)));

/** The share of an image that a center crop to the clip's shape loses. */
export function lostByCrop(width, height, clipWidth, clipHeight) {
  const ratio = (width * clipHeight) / (height * clipWidth);
  return 1 - Math.min(ratio, 1 / ratio);
}

/** Floating-point operations of a step. A token is 16 × 16 pixels of four frames; the first frame has its own. */
export function stepCost([width, height], frames) {
  const tokens = TEXT + (width / 16) * (height / 16) * (Math.floor((frames + 2) / 4) + 1);
  return tokens * (LINEAR + ATTENTION * tokens);
}
