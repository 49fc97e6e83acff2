/** Building elements: text goes in as text, never as markup. */

/** An element: `properties` become properties where it has such, else attributes; children that are null are left out. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** @param {string} label @param {() => void} act */
export function button(label, act, properties = {}) {
  const made = element("button", { type: "button", ...properties }, label);
  made.addEventListener("click", act);
  return made;
}

/** A choice among several: a radio button in its label. */
export function radio(group, choice, ...label) {
  const input = element("input", { type: "radio", name: group, id: `${group}-${choice}`, value: choice });
  return element("label", { className: "choice" }, input, ...label);
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

let last = 0;

/** An id that no other element of the page has. */
export const freshId = (word) => `${word}-${(last += 1)}`;

/** Save a blob as a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
