/** A clip, large: it plays in a loop, and its frames lie below as a strip to scrub. */

import { element, freshId } from "./dom.js";
import { draw } from "./image.js";

const THUMBS = 12;

/** The clip's viewer; null: nothing of it can be shown here. @param {import("./job.js").Job} job */
export function clipOf({ files, output }) {
  const video = files.find((file) => file.type === "video" && file.url), frames = files.filter((file) => file.type === "image" && file.url);
  if (!video && !frames.length) return null;
  const count = frames.length || output.num_frames || 0, rate = output.fps || 24;
  const size = { width: output.width || null, height: output.height || null };
  const still = element("img", { alt: "A frame of the clip", src: frames[0]?.url ?? "", hidden: Boolean(video), ...size });
  const moving = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const properties = { controls: true, loop: true, muted: true, playsInline: true, autoplay: moving, "aria-label": "The clip" };
  const film = video ? element("video", { src: video.url, ...properties, ...size }) : null;
  const problem = element("p", { className: "hint", hidden: true }, "This browser cannot play the clip here. Save it instead.");
  film?.addEventListener("error", () => {
    film.hidden = true;
    still.hidden = !frames.length;
    problem.hidden = false;
  });
  const strip = count > 1 ? stripOf(frames, count, rate, (place) => {
    if (frames.length) still.src = frames[place - 1].url;
    if (!film || film.hidden) return;
    film.pause();
    film.currentTime = (place - 0.5) / rate;
  }) : null;
  film?.addEventListener("timeupdate", () => !film.paused && strip?.follow(Math.floor(film.currentTime * rate) + 1));
  return element("div", { className: "clip" }, element("div", { className: "screen" }, film, still), problem, strip?.node ?? null);
}

function stripOf(frames, count, rate, show) {
  const id = freshId("frame"), shown = Math.min(THUMBS, frames.length);
  const thumbs = Array.from({ length: shown }, (_, place) => frames[Math.round((place * (frames.length - 1)) / Math.max(1, shown - 1))]);
  const range = element("input", { type: "range", id, min: 1, max: count, value: 1 });
  const told = element("output", { htmlFor: id });
  const save = frames.length ? element("a", { className: "button small" }, "Save this frame") : null;
  const follow = (place) => {
    const at = Math.min(place, count);
    range.value = at;
    const seconds = ((at - 1) / rate).toFixed(2);
    told.textContent = `Frame ${at} of ${count} · ${seconds} s`;
    range.setAttribute("aria-valuetext", `frame ${at} of ${count}, second ${seconds}`);
    if (save) link(save, frames[at - 1]);
  };
  range.addEventListener("input", () => {
    follow(Number(range.value));
    show(Number(range.value));
  });
  follow(1);
  const images = thumbs.map((frame) => element("img", { alt: "", src: frame.url }));
  const line = element("div", { className: "line" }, element("label", { htmlFor: id, className: "unseen" }, "Frame"), told, save);
  return { node: element("div", { className: "scrubber" }, element("div", { className: "strip" }, ...images, range), line), follow };
}

/** Where the clip's last frame is: `{url}`, or `{blob, name, width, height}`; null: nowhere that this page may read. */
export async function lastFrame({ files, output: { width, height } }) {
  const frame = files.findLast((file) => file.type === "image"), video = files.find((file) => file.type === "video");
  if (frame?.blob) return { blob: frame.blob, name: frame.name, width, height, note: "" };
  if (frame?.url) return { url: frame.url };
  return video?.blob ? { blob: await endOf(video.url), name: "last-frame.jpg", width, height, note: "" } : null;
}

/** A video's last picture, as a JPEG. */
async function endOf(url) {
  const film = element("video", { src: url, muted: true, preload: "auto" });
  await new Promise((resolve, reject) => Object.assign(film, { onloadeddata: resolve, onerror: reject }));
  await new Promise((resolve) => Object.assign(film, { onseeked: resolve, currentTime: film.duration }));
  return draw(film, film.videoWidth, film.videoHeight);
}

/** Make a link save the file, or open it where it lies elsewhere. */
export function link(anchor, file) {
  anchor.href = file.url;
  anchor.download = file.name;
  if (!file.blob) Object.assign(anchor, { target: "_blank", rel: "noopener noreferrer" });
  return anchor;
}
