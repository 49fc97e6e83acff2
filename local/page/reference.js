/** The API reference, made from /openapi.json. */

import { curl } from "./code.js";
import { byId, element } from "./dom.js";
import { here } from "./endpoint.js";
import { fieldsOf, kind, limits, loadDescription, resolve } from "./schema.js";
import { humanise } from "./words.js";

const plain = (text) => text.replaceAll("`", "");
const hint = (text) => element("p", { className: "hint" }, text);
const EXAMPLE = { prompt: "the rocket lifts off, smoke billowing over the water", resolution: "480p", num_frames: 9 };
/** The worker's schemas. */
const MODELS = ["Input", "Answer", "File", "Progress", "Failure"];

async function start() {
  const description = await loadDescription();
  const { schemas } = description.components;
  byId("about").textContent = plain(description.info.description);
  const models = MODELS.filter((name) => schemas[name]);
  const parts = [
    section("A request", ...example()),
    section("Calls for clients", routes("Calls for clients", description.paths, "client")),
    ...models.map((name) => section(name, hint(plain(resolve(schemas, schemas[name]).description ?? "")), table(name, schemas))),
    section("Calls for workers", routes("Calls for workers", description.paths, "worker")),
  ];
  byId("reference").append(...parts);
  byId("contents").append(...parts.map((part) => element("a", { href: `#${part.id}` }, part.firstChild.textContent)));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function example() {
  const { base, id, local } = here(), text = curl({ base, id, local, input: EXAMPLE, file: "examples/rocket.jpg" });
  const about = hint("Run it in the repository's folder; it writes the job's report to answer.json. The page shows its own requests like this too.");
  return [about, element("pre", { tabIndex: 0 }, element("code", {}, text))];
}

function section(title, ...children) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), ...children);
}

function routes(title, paths, tag) {
  const tagged = (calls) => Object.entries(calls).filter(([, call]) => call.tags?.includes(tag));
  const row = (path, [method, call]) => [element("code", {}, `${method.toUpperCase()} ${path}`), `${plain(call.description ?? call.summary)} ${queryOf(call)}`];
  return grid(title, ["call", "what it does"], Object.entries(paths).flatMap(([path, calls]) => tagged(calls).map((call) => row(path, call))));
}

function queryOf(call) {
  const told = (call.parameters ?? []).filter((parameter) => parameter.in === "query");
  return told.map(({ name, schema, description }) => `Query ${[name, description, limits({ choices: [], ...schema })].filter(Boolean).join(", ")}.`).join(" ");
}

function table(name, schemas) {
  const fields = fieldsOf(schemas, schemas[name]), defaults = fields.some((field) => field.default !== null);
  const rows = fields.map((field) => [
    element("code", {}, field.name),
    [kind(field), limits(field)].filter(Boolean).join(": "),
    ...(defaults ? [field.default === null ? "" : JSON.stringify(field.default)] : []),
    plain(field.description),
  ]);
  return grid(`Fields of ${name}`, ["field", "type and limits", ...(defaults ? ["default"] : []), "meaning"], rows);
}

/** A table that scrolls by itself where the page is narrow. */
function grid(name, titles, rows) {
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, humanise(title))));
  const body = rows.map(([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, first), ...others.map((cell) => element("td", {}, cell))));
  return element("div", { className: "scrolled", tabIndex: 0, role: "region", "aria-label": `Table: ${name}` }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

start().catch(() => {
  byId("trouble").textContent = "The server does not answer. Reload this page once it runs.";
});
