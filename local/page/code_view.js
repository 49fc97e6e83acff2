/** A request as code, in each language, with a button that copies. */

import { LANGUAGES } from "./code.js";
import { button, element } from "./dom.js";

/** @param {import("./job.js").Job} job */
export function codeOf({ endpoint, input, image }) {
  const request = { base: endpoint.base, id: endpoint.id, local: endpoint.local, input, file: image?.name ?? null };
  const where = image && (image.name.includes("/") ? "Run it in the repository's folder." : `Run it in the folder that has ${image.name}.`);
  const key = endpoint.local ? null : "It reads your API key from RUNPOD_API_KEY.";
  return element(
    "details",
    { className: "code" },
    element("summary", {}, "This request as code"),
    element("p", { className: "hint" }, [where, key].filter(Boolean).join(" ")),
    ...LANGUAGES.map(([title, write]) => program(title, write(request))),
  );
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
