/** What people read instead of the API's names. */

const FIELDS = {
  image_url: "Image URL", num_frames: "Frames", fps: "Frames per second", cfg: "Guidance", shift: "Noise shift",
  fit: "If the shapes differ", output: "Result", loras: "LoRAs",
};
const CHOICES = { both: "Video and frames", crop: "Crop the image", pad: "Add black bars", jpeg: "JPEG", png: "PNG", webp: "WebP" };
const ERRORS = {
  invalid_input: "These settings were refused",
  image_rejected: "The image was refused",
  model_missing: "This endpoint lacks a model",
  execution_failed: "The run failed",
  out_of_memory: "The GPU ran out of memory",
  timeout: "The run took too long",
  comfyui_unavailable: "ComfyUI stopped",
  output_failed: "The clip could not be delivered",
};

/** A field's label; one that the page does not know: its name as words. */
export const labelOf = (name) => FIELDS[name] ?? humanise(name);

/** A choice's label. */
export const choiceLabel = (choice) => CHOICES[choice] ?? humanise(String(choice));

/** "frame_format" is "Frame format". */
export function humanise(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A fault with its field's label: "Frames must be a whole number ...". */
export function sentence(name, fault) {
  return `${labelOf(name)}${/^(is|are|must|has|have|was|cannot|can|needs?|takes?|only|goes|picks) /.test(fault) ? "" : ":"} ${readable(fault)}`;
}

/** A worker's text with the fields' labels instead of their names. */
export function readable(text) {
  return text.replaceAll("`", "").replace(/\b(cfg|fps|[a-z]+(_[a-z]+)+)\b/g, (name) => labelOf(name).toLowerCase());
}

/** What a failed job's report says, in words. */
export function explain(error, { code, fields } = {}) {
  const told = fields ? Object.entries(fields).map(([name, fault]) => sentence(name, fault)).join(". ") : error.replace(`${code}: `, "");
  return readable(ERRORS[code] ? `${ERRORS[code]}: ${told}` : told);
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
