/** The very request as code: a tab for each language, and a button that copies. */

import { LANGUAGES } from "./code.js";
import { button, element, freshId } from "./dom.js";

/** @param {import("./job.js").Job} job */
export function codeOf(job) {
  const { endpoint, input, picture } = job;
  const request = { base: endpoint.base, id: endpoint.id, local: endpoint.local, input, file: picture?.name ?? null };
  const texts = LANGUAGES.map(([, write]) => write(request));
  const panelId = freshId("code");
  const text = element("code", {});
  const panel = element("div", { id: panelId, role: "tabpanel" }, element("pre", { tabIndex: 0 }, text));
  const tabs = LANGUAGES.map(([title], place) =>
    button(title, () => choose(place), { role: "tab", id: `${panelId}-${place}`, "aria-controls": panelId }),
  );
  const told = element("span", { className: "hint", role: "status" });
  let chosen = 0;

  function choose(place) {
    chosen = place;
    text.textContent = texts[place];
    told.textContent = "";
    panel.setAttribute("aria-labelledby", tabs[place].id);
    tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === place));
      tab.tabIndex = number === place ? 0 : -1;
    });
  }

  const list = element("div", { role: "tablist", "aria-label": "Language", className: "tabs" }, ...tabs);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose((chosen + step + tabs.length) % tabs.length);
    tabs[chosen].focus();
  });
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(texts[chosen]);
      told.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(text);
      told.textContent = "Selected: copy it with the keyboard.";
    }
  });
  choose(0);
  return element(
    "details",
    { className: "code" },
    element("summary", {}, "This request as code"),
    whereItRuns(job),
    list,
    panel,
    element("div", { className: "actions" }, copy, told),
  );
}

function whereItRuns({ endpoint, picture }) {
  const parts = [];
  if (picture) parts.push(picture.name.includes("/") ? "Run it in the repository's folder." : `Run it where ${picture.name} lies.`);
  if (!endpoint.local) parts.push("RUNPOD_API_KEY in the environment holds the key.");
  return element("p", { className: "hint" }, parts.join(" "));
}
