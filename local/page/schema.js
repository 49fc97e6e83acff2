/** The worker's schemas, as /openapi.json has them. */

/**
 * @typedef {object} Field  one field of a job's input: its JSON Schema, with what follows in any case
 * @property {string} name @property {string} type  "string", "integer", "number", "object", "array"
 * @property {string[]} choices  empty: it has none @property {any} default  null: it has none @property {string} description
 */

/** /openapi.json; numbers that JavaScript would round stay text. */
export async function loadDescription() {
  const answer = await fetch("/openapi.json");
  return JSON.parse((await answer.text()).replace(/("maximum":\s*)(\d{16,})/g, '$1"$2"'));
}

/** @returns {Field[]} the fields of the job's input, in the worker's order; empty: the server has no such schema */
export function inputFields(schemas) {
  return schemas.Input ? fieldsOf(schemas, schemas.Input) : [];
}

/** @returns {Field[]} */
export function fieldsOf(schemas, schema) {
  const properties = resolve(schemas, schema).properties ?? {};
  return Object.entries(properties).map(([name, property]) => ({ ...flatten(schemas, property), name }));
}

/** What a "$ref" refers to. */
export function resolve(schemas, schema) {
  return schema.$ref ? resolve(schemas, schemas[schema.$ref.split("/").at(-1)]) : schema;
}

/** A property with what its one alternative beside null says. */
function flatten(schemas, property) {
  const options = (property.anyOf ?? [property]).map((option) => resolve(schemas, option));
  const schema = { default: null, description: "", ...options.find((option) => option.type !== "null"), ...property };
  return { ...schema, choices: schema.enum ?? (schema.const === undefined ? [] : [schema.const]) };
}

/** What a field is: its type, and that of what it holds. */
export function kind(field) {
  const held = field.items?.$ref?.split("/").at(-1) ?? field.items?.type;
  return `${field.type ?? "any"}${held ? ` of ${held}` : ""}`;
}

/** What a field takes, in words. */
export function limits(field) {
  if (field.choices.length) return field.choices.join(", ");
  const { minimum: from, maximum: to, multipleOf, maxLength } = field;
  if (from === undefined && to === undefined) return maxLength ? `at most ${maxLength} characters` : "";
  if (to === undefined) return `from ${from}`;
  return `${multipleOf ? `multiples of ${multipleOf}, ` : ""}${from ?? "any"} to ${to}`;
}

/** What is wrong with a field's text, as far as the schema says; empty: nothing. The worker has the last word. */
export function fault(field, text) {
  if (field.type === "string") {
    return text.length > field.maxLength ? `must be at most ${field.maxLength} characters, got ${text.length}` : "";
  }
  if (!text.trim() || field.type === "array") return "";
  const whole = field.type === "integer";
  const fits = whole ? /^\s*[+-]?\d+\s*$/.test(text) : Number.isFinite(Number(text));
  const inside = fits && Number(text) >= (field.minimum ?? -Infinity) && Number(text) <= (field.maximum ?? Infinity);
  const stepped = !field.multipleOf || Number(text) % field.multipleOf === 0;
  if (inside && stepped) return "";
  const wanted = field.multipleOf ? `a multiple of ${field.multipleOf}` : whole ? "a whole number" : "a number";
  return `must be ${wanted} from ${field.minimum} to ${field.maximum}, got ${text.slice(0, 40)}`;
}

/** A field's text as JSON has it: a list, a number, or its text where JavaScript's numbers would not hold it. */
export function valueOf(field, text) {
  if (field.type === "array") return text.split(",").map((part) => part.trim()).filter(Boolean);
  if (field.type !== "integer" && field.type !== "number") return text;
  const number = Number(text);
  return field.type === "number" || Number.isSafeInteger(number) ? number : text.trim();
}
