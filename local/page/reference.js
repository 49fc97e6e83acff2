/** The API reference, made from /openapi.json. */

import { curl } from "./code.js";
import { byId, element } from "./dom.js";
import { here } from "./endpoint.js";
import { fieldsOf, kind, limits, loadDescription } from "./schema.js";
import { humanise } from "./words.js";

const EXAMPLE = { prompt: "the rocket lifts off, smoke billowing over the water", resolution: "480p", num_frames: 9 };
/** The worker's schemas, and when they are met. */
const MODELS = {
  Input: "What input of /run and /runsync holds.",
  Answer: "The output of a job that succeeded.",
  File: "An entry of the answer's outputs.",
  Progress: "The output of a job that is running.",
  Failure: "The output of a job that failed, beside its error.",
};

async function start() {
  const description = await loadDescription();
  const { schemas } = description.components;
  byId("about").textContent = plain(description.info.description);
  const models = Object.keys(MODELS).filter((name) => schemas[name]);
  const parts = [
    section("A request", ...example()),
    section("Calls for clients", routes("Calls for clients", description.paths, "client")),
    ...models.map((name) => section(name, hint(MODELS[name]), table(name, schemas))),
    section("Calls for workers", routes("Calls for workers", description.paths, "worker")),
  ];
  byId("reference").append(...parts);
  byId("contents").append(...parts.map((part) => element("a", { href: `#${part.id}` }, part.firstChild.textContent)));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function example() {
  const { base, id, local } = here();
  const text = curl({ base, id, local, input: EXAMPLE, file: "examples/rocket.jpg" });
  return [
    hint("Run it in the repository's folder. The job's report is in answer.json then. The page shows each of its requests like this, and in Python and JavaScript."),
    element("pre", { tabIndex: 0 }, element("code", {}, text)),
  ];
}

function section(title, ...children) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), ...children);
}

function routes(title, paths, tag) {
  const found = Object.entries(paths).flatMap(([path, calls]) =>
    Object.entries(calls).filter(([, call]) => call.tags?.includes(tag)).map(([method, call]) => [method.toUpperCase(), path, call]),
  );
  const rows = found.map(([method, path, call]) => [element("code", {}, `${method} ${path}`), `${plain(call.description ?? call.summary)} ${queryOf(call)}`]);
  return grid(title, ["call", "what it does"], rows);
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

/** A description less its Markdown. */
function plain(text) {
  return text.replaceAll("`", "");
}

/** A table that scrolls by itself where the page is narrow. */
function grid(name, titles, rows) {
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, humanise(title))));
  const body = rows.map(([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, first), ...others.map((cell) => element("td", {}, cell))));
  return element("div", { className: "scrolled", tabIndex: 0, role: "region", "aria-label": `Table: ${name}` }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function hint(text) {
  return element("p", { className: "hint" }, text);
}

start().catch(() => {
  byId("trouble").textContent = "The server does not answer. Reload this page once it runs.";
});
