/** The calls of an endpoint: the one of this server, or a deployed one through this server. */

const PATIENCE = 90_000;
const ASK_AGAIN = "enter it again under “Runs on”";

/** A call that got no answer, or a refusal. `status` is 0 where nobody answered. */
export class CallFailed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
    /** Whether the API key is missing or wrong. */
    this.refused = status === 401;
    /** Whether the same call may well succeed later. */
    this.passes = [0, 401, 408, 429].includes(status) || status >= 500;
  }
}

export class Endpoint {
  #key;

  /** `path`: where its calls go, on this server; `base`: where a program reaches it; `key()`: "" until it is typed, never stored. */
  constructor(path, base, id, local, key = () => "") {
    Object.assign(this, { path, base, id, local });
    this.#key = key;
  }

  run = (input) => this.#call("POST", "run", JSON.stringify({ input }));
  status = (job) => this.#call("GET", `status/${encodeURIComponent(job)}`);
  cancel = (job) => this.#call("POST", `cancel/${encodeURIComponent(job)}`);
  health = () => this.#call("GET", "health");

  async #call(method, call, body = undefined) {
    const key = this.#key();
    if (!key && !this.local) throw new CallFailed(`the API key for ${this.id} is missing: ${ASK_AGAIN}`, 401);
    const headers = { ...(key && { Authorization: `Bearer ${key}` }), ...(body && { "Content-Type": "application/json" }) };
    let answer, value = null;
    try {
      answer = await fetch(`${this.path}/${call}`, { method, headers, body, signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
      value = await answer.json();
    } catch (failed) {
      if (!(failed instanceof SyntaxError)) throw new CallFailed("the server does not answer", 0);
    }
    if (!answer.ok) throw new CallFailed(this.#explain(answer.status, value), answer.status);
    if (value === null || typeof value !== "object") throw new CallFailed("it answered with something other than JSON", 502);
    return value;
  }

  #explain(status, value) {
    if (!this.local && status === 401) return `RunPod refused the API key: ${ASK_AGAIN}`;
    const told = value?.error ?? value?.message ?? value?.detail;
    return typeof told === "string" ? told : `it answered with status ${status}`;
  }
}

/** The endpoint of this server. */
export const here = () => new Endpoint("", `${location.origin}/v2`, "local", true);

/** A deployed endpoint: its calls go through this server, which keeps neither key nor answer. @param {() => string} key */
export const deployed = (id, key) => new Endpoint(`/remote/${encodeURIComponent(id)}`, "https://api.runpod.ai/v2", id, false, key);
