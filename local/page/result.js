/** A finished job: the clip, its frames, downloads, numbers. */

import { button, element, freshId } from "./dom.js";
import { zip } from "./zip.js";

/** @param {import("./job.js").Job} job @param {(seed: string) => void} useSeed */
export function resultOf(job, useSeed) {
  const { files, output } = job;
  if (!Array.isArray(output?.outputs)) return element("pre", {}, JSON.stringify(output, null, 2));
  const video = files.find((file) => file.type === "video");
  const frames = files.filter((file) => file.type === "image");
  return element(
    "div",
    { className: "result" },
    warningsOf(output),
    element("div", { className: "shown" }, video ? player(video, frames[0]) : null, frames.length ? scrubber(frames, output) : null),
    downloads(job, video),
    elsewhere(files),
    numbers(job, useSeed),
  );
}

function warningsOf(output) {
  if (!output.warnings?.length) return null;
  return element("ul", { className: "warnings", "aria-label": "Warnings" }, ...output.warnings.map((text) => element("li", {}, text)));
}

function player(video, poster) {
  if (!video.url) return null;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const node = element("video", {
    src: video.url, controls: true, loop: true, muted: true, playsInline: true, autoplay: !still,
    "aria-label": "The clip", poster: poster?.url || null,
  });
  const fallback = element("p", { className: "hint", hidden: true }, "This browser cannot play it from here: open it by its link below.");
  node.addEventListener("error", () => (fallback.hidden = false));
  return element("div", { className: "player" }, node, fallback);
}

function scrubber(frames, output) {
  if (!frames[0].url) return null;
  const id = freshId("frame");
  const picture = element("img", { alt: "", "aria-hidden": "true" });
  const range = element("input", { type: "range", id, min: 1, max: frames.length, value: 1 });
  const told = element("output", { htmlFor: id });
  const save = element("a", { className: "button" }, "Save this frame");
  const show = () => {
    const place = Number(range.value), frame = frames[place - 1];
    picture.src = frame.url;
    told.textContent = `${place} of ${frames.length}`;
    const seconds = output.fps ? `, second ${((place - 1) / output.fps).toFixed(2)}` : "";
    range.setAttribute("aria-valuetext", `frame ${place} of ${frames.length}${seconds}`);
    link(save, frame);
  };
  range.addEventListener("input", show);
  show();
  return element("div", { className: "scrubber" }, picture, element("div", { className: "line" }, element("label", { htmlFor: id }, "Frame"), range, told), save);
}

function downloads(job, video) {
  const clip = video?.url ? link(element("a", { className: "button" }, "Save the clip"), video) : null;
  const inReply = job.files.filter((file) => file.blob);
  const told = element("span", { className: "hint", role: "status" });
  const all = button("Save everything (.zip)", async () => {
    told.textContent = "Packing …";
    save(await zip([...inReply, { name: "job.json", blob: record(job) }]), `job-${job.number}.zip`);
    told.textContent = "";
  });
  return element("div", { className: "actions" }, clip, all, told);
}

/** What was asked for and what came back, less the files' contents. */
function record({ id, input, picture, output }) {
  const told = { id, input, picture: picture?.name ?? null, output };
  return new Blob([JSON.stringify(told, null, 2)], { type: "application/json" });
}

/** Files that did not come in the reply: where they are. */
function elsewhere(files) {
  const away = files.filter((file) => !file.blob);
  if (!away.length) return null;
  const onVolume = away.some((file) => file.place);
  const told = onVolume
    ? "These files are on the endpoint's network volume. RunPod's S3 API hands them out: aws s3 cp, with the S3 keys of your account."
    : "These files are in a bucket; the .zip holds only what came in the reply. Their links may expire.";
  const items = away.map((file) => {
    if (!file.url) return element("li", {}, `${file.name}: ${file.place || "its URL cannot be used"}`);
    return element("li", {}, element("a", { href: file.url, target: "_blank", rel: "noopener noreferrer" }, file.name));
  });
  return element("details", { open: onVolume }, element("summary", {}, `Where the files are (${away.length})`), element("p", {}, told), element("ul", {}, ...items));
}

function numbers(job, useSeed) {
  const { output } = job;
  // As it was sent, where JavaScript's numbers would have rounded what came back.
  const seed = String(job.input.seed ?? output.seed ?? "");
  const rows = [
    ["Seed", seed && element("span", {}, `${seed} `, button("Use this seed again", () => useSeed(seed), { className: "small" }))],
    ["Size", output.width && `${output.width} × ${output.height}`],
    ["Frames", output.num_frames && `${output.num_frames} at ${output.fps} per second`],
    ["Made with", output.settings && madeWith(output.settings)],
    ["In all", `${job.elapsed.toFixed(1)} s as seen from here`],
    ...Object.entries(output.timings ?? {}).map(([part, seconds]) => [`Worker: ${part}`, `${seconds} s`]),
  ];
  const body = rows.filter(([, value]) => value).map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)));
  return element("table", {}, element("caption", {}, "Numbers"), element("tbody", {}, ...body));
}

function madeWith({ preset, steps, cfg, shift, fit, upscale, options }) {
  const parts = [preset, `${steps} steps`, `cfg ${cfg}`, `shift ${shift}`, fit, upscale && `upscaled to ${upscale}`, ...options];
  return parts.filter(Boolean).join(", ");
}

function link(anchor, file) {
  anchor.href = file.url;
  anchor.download = file.name;
  if (!file.blob) Object.assign(anchor, { target: "_blank", rel: "noopener noreferrer" });
  return anchor;
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
