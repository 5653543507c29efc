// The admin API, as the operator who is signed in asks it.

import { on } from "../base.js";
import { keep, recall } from "../storage.js";

const REQUEST_TIMEOUT_MS = 15_000;
// A revocation is answered when all of it is done.
const ACT_TIMEOUT_MS = 60_000;
const SESSION = "streamd.session";
const JSON_TYPE = "application/json";

/** An answer that is no success; `status` is 0 where there was none. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {string[]} errors each fault of what was sent
   */
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/** Asks the server in the name of a session, which all tabs of the browser share; the server says when it ends. */
export class Client {
  #token = recall("localStorage", SESSION) ?? "";
  #onSignedOut;

  /**
   * @param onSignedOut called when the server does not know the session any more, or another tab has signed out
   * @param onSignedIn called when another tab has signed in
   */
  constructor(onSignedOut, onSignedIn) {
    this.#onSignedOut = onSignedOut;
    // Told of what other tabs do; null as the key where all was cleared.
    window.addEventListener("storage", ({ key, storageArea }) => {
      if (storageArea !== localStorage || (key !== null && key !== SESSION)) return;
      const wasSignedIn = this.isSignedIn;
      this.#token = recall("localStorage", SESSION) ?? "";
      if (wasSignedIn && !this.isSignedIn) onSignedOut();
      else if (!wasSignedIn && this.isSignedIn) onSignedIn();
    });
  }

  get isSignedIn() {
    return this.#token !== "";
  }

  /**
   * Exchange a token, which is not kept, for a session.
   *
   * @param {string} shown the operator's, or the admin token
   * @param {string} code of the operator's authenticator; empty for none
   */
  async signIn(shown, code) {
    const { token } = await request("POST", "/api/v1/session", shown, { code });
    this.#token = token;
    keep("localStorage", SESSION, token);
  }

  async signOut() {
    const token = this.#forget();
    // The session may be over already; signed out is signed out.
    await request("POST", "/api/v1/session/end", token, {}).catch(() => {});
  }

  get(path, query = {}) {
    return this.#ask("GET", withQuery(path, query));
  }

  post(path, body = {}) {
    return this.#ask("POST", path, body);
  }

  /** Send a text that is no JSON, such as a list. */
  postText(path, text, type, query = {}) {
    return this.#ask("POST", withQuery(path, query), text, type);
  }

  patch(path, body) {
    return this.#ask("PATCH", path, body);
  }

  delete(path, query = {}) {
    return this.#ask("DELETE", withQuery(path, query));
  }

  /** The answer's bytes as they come, until `signal` aborts. */
  async stream(path, signal) {
    const answer = await send("GET", path, this.#token, undefined, signal);
    return this.#checked(answer, () => answer.body);
  }

  /** The answer's bytes, all of them. */
  async bytes(path, query = {}) {
    const answer = await send(
      "GET",
      withQuery(path, query),
      this.#token,
      undefined,
      AbortSignal.timeout(ACT_TIMEOUT_MS),
    );
    return this.#checked(answer, () => answer.blob());
  }

  async #ask(method, path, body, type = JSON_TYPE) {
    const timeout = AbortSignal.timeout(method === "GET" ? REQUEST_TIMEOUT_MS : ACT_TIMEOUT_MS);
    const answer = await send(method, path, this.#token, body, timeout, type);
    return this.#checked(answer, () => answer.json());
  }

  async #checked(answer, read) {
    try {
      return await checked(answer, read);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401 && this.#token) {
        this.#forget();
        this.#onSignedOut();
      }
      throw error;
    }
  }

  #forget() {
    const token = this.#token;
    this.#token = "";
    keep("localStorage", SESSION, null);
    return token;
  }
}

function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

async function request(method, path, token, body) {
  const answer = await send(method, path, token, body, AbortSignal.timeout(REQUEST_TIMEOUT_MS));
  return checked(answer, () => answer.json());
}

async function send(method, path, token, body, signal, type = JSON_TYPE) {
  try {
    return await fetch(on(path.slice(1)), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": type }),
      },
      body: body === undefined || type !== JSON_TYPE ? body : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal,
    });
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "AbortError") throw error;
    throw new ApiError(0, name === "TimeoutError" ? "The server takes too long." : "The server cannot be reached.");
  }
}

async function checked(answer, read) {
  if (answer.ok) return read();
  const problem = await answer.json().catch(() => ({}));
  throw new ApiError(
    answer.status,
    [problem.detail, ...(problem.errors ?? [])].filter(Boolean).join(": ") || `HTTP ${answer.status}`,
    problem.errors,
  );
}
