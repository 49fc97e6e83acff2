/** The calls of an endpoint: the one of this server, or a deployed one through this server. */

const PATIENCE = 90_000;

/** A call that brought no answer, or a refusal. */
export class CallFailed extends Error {
  /** @param {string} message @param {number} status 0: nobody answered */
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether the same call may well succeed later. */
  get passes() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export class Endpoint {
  #headers;

  /**
   * @param {string} path  where its calls go, on this server
   * @param {string} base  where a program reaches it
   * @param {string} id
   * @param {boolean} local
   * @param {string} key  never shown, stored or logged
   */
  constructor(path, base, id, local, key = "") {
    this.path = path;
    this.base = base;
    this.id = id;
    this.local = local;
    this.#headers = key ? { Authorization: `Bearer ${key}` } : {};
  }

  /** @param {object} input */
  run(input) {
    return this.#call("POST", "run", JSON.stringify({ input }));
  }

  /** @param {string} job */
  status(job) {
    return this.#call("GET", `status/${encodeURIComponent(job)}`);
  }

  /** @param {string} job */
  cancel(job) {
    return this.#call("POST", `cancel/${encodeURIComponent(job)}`);
  }

  health() {
    return this.#call("GET", "health");
  }

  async #call(method, call, body = undefined) {
    const headers = body === undefined ? this.#headers : { ...this.#headers, "Content-Type": "application/json" };
    const signal = AbortSignal.timeout(PATIENCE);
    let answer, text;
    try {
      answer = await fetch(`${this.path}/${call}`, { method, headers, body, signal, cache: "no-store" });
      text = await answer.text();
    } catch {
      throw new CallFailed("the server does not answer", 0);
    }
    const value = parse(text);
    if (!answer.ok) throw new CallFailed(this.#explain(answer.status, value), answer.status);
    if (value === null || typeof value !== "object") throw new CallFailed("the answer is not JSON", 502);
    return value;
  }

  #explain(status, value) {
    if (!this.local && status === 401) return "RunPod refuses the API key";
    const told = value?.error ?? value?.message ?? value?.detail;
    return typeof told === "string" ? told : `the answer has status ${status}`;
  }
}

/** The endpoint of this server. */
export function here() {
  return new Endpoint("", `${location.origin}/v2`, "local", true);
}

/** A deployed endpoint: its calls go through this server, which keeps neither key nor answer. */
export function deployed(id, key) {
  return new Endpoint(`/remote/${encodeURIComponent(id)}`, "https://api.runpod.ai/v2", id, false, key);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
