/** What a finished job's card folds away: numbers, files that lie elsewhere, everything as a ZIP, the request as code. */

import { LANGUAGES } from "./code.js";
import { button, element, save } from "./dom.js";
import { humanise } from "./words.js";
import { zip } from "./zip.js";

/** @param {import("./job.js").Job} job @param {{useSeed: (seed: string) => void, remove: () => void}} acts */
export function detailsOf(job, acts) {
  const { files, output } = job, unknown = output && !Array.isArray(output.outputs);
  return element(
    "details",
    { className: "more", open: Boolean(unknown) },
    element("summary", {}, "Details"),
    element("p", {}, job.input.prompt ?? "", job.endpoint.local ? "" : ` Ran on RunPod endpoint ${job.endpoint.id}.`),
    unknown ? element("pre", {}, JSON.stringify(output, null, 2)) : null,
    output && !unknown ? numbers(job, acts.useSeed) : null,
    elsewhere(files),
    codeOf(job),
    element("div", { className: "actions" }, files.some((file) => file.blob) ? archive(job) : null, button("Remove from this page", acts.remove, { className: "small" })),
  );
}

/** A button that saves the files, with what was asked for and what came back. */
function archive(job) {
  const told = element("span", { className: "hint", role: "status" });
  const act = button("Save everything (.zip)", async () => {
    told.textContent = "Packing …";
    const { id, input, image, output } = job, record = JSON.stringify({ id, input, image: image?.name ?? null, output }, null, 2);
    save(await zip([...job.files.filter((file) => file.blob), { name: "job.json", blob: new Blob([record]) }]), `clip-${job.number}.zip`);
    told.textContent = "";
  }, { className: "small" });
  return element("span", {}, act, told);
}

/** Files that did not come in the reply: where they are. */
function elsewhere(files) {
  const away = files.filter((file) => !file.blob);
  if (!away.length) return null;
  const told = away.some((file) => file.place)
    ? "These files are on the endpoint's network volume. Copy them with RunPod's S3 API (aws s3 cp) and your account's S3 keys."
    : "These files are in a bucket, and their links may expire. The ZIP contains only files that came in the reply.";
  const linked = ({ url, name }) => element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name);
  const items = away.map((file) => element("li", {}, file.url ? linked(file) : `${file.name}: ${file.place || "its URL cannot be used"}`));
  return element("div", {}, element("h4", {}, `Files (${away.length})`), element("p", {}, told), element("ul", {}, ...items));
}

function numbers(job, useSeed) {
  const { output } = job;
  // As it was sent, where JavaScript's numbers would have rounded what came back.
  const seed = String(job.input.seed ?? output.seed ?? "");
  const rows = [
    ["Seed", seed && element("span", {}, `${seed} `, button("Use this seed", () => useSeed(seed), { className: "small" }))],
    ["Size", output.width && `${output.width} × ${output.height}`],
    ["Frames", output.num_frames && `${output.num_frames} at ${output.fps} per second`],
    ["Settings", output.settings && madeWith(output.settings)],
    ["Total time", `${job.elapsed.toFixed(1)} s`],
    ["Worker's time", Object.entries(output.timings ?? {}).map(([part, seconds]) => `${part} ${seconds} s`).join(", ")],
  ];
  const row = ([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value));
  return element("table", {}, element("tbody", {}, ...rows.filter(([, value]) => value).map(row)));
}

function madeWith({ preset, steps, cfg, shift, fit, upscale, interpolate, options, loras = [] }) {
  const applied = loras.map(({ name, strength }) => `${name} at ${strength}`);
  const parts = [humanise(preset), `${steps} steps`, `guidance ${cfg}`, `shift ${shift}`, fit, upscale && `upscaled to ${upscale}`, interpolate && `interpolated ${interpolate} times`, ...options, ...applied];
  return parts.filter(Boolean).join(", ");
}

/** The request as code, in each language, with a button that copies. */
function codeOf({ endpoint, input, image }) {
  const request = { base: endpoint.base, id: endpoint.id, local: endpoint.local, input, file: image?.name ?? null };
  const where = image && (image.name.includes("/") ? "Run it in the repository's folder." : `Run it in the folder that has ${image.name}.`);
  const key = endpoint.local ? null : "It reads your API key from RUNPOD_API_KEY.";
  const about = element("p", { className: "hint" }, [where, key].filter(Boolean).join(" "));
  const programs = LANGUAGES.map(([title, write]) => program(title, write(request)));
  return element("details", {}, element("summary", {}, "This request as code"), about, ...programs);
}

function program(title, text) {
  const code = element("code", {}, text), told = element("span", { className: "hint", role: "status" });
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      told.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      told.textContent = "Selected: copy it with the keyboard.";
    }
  }, { className: "small" });
  return element("details", {}, element("summary", {}, title), element("pre", { tabIndex: 0 }, code), copy, told);
}
