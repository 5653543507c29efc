// Questions of the studio to the server, in the name of the session that the browser keeps in a cookie.

import { on } from "../base.js";

const REQUEST_TIMEOUT_MS = 8_000;

/**
 * Ask the server.
 *
 * @param {string} method
 * @param {string} path below the studio's
 * @param {object} [content]
 * @returns {Promise<{status: number, answer: any}>} status is 0 if it does not answer
 */
export async function ask(method, path, content) {
  try {
    const answer = await fetch(on(`studio/${path}`), {
      method,
      headers: content ? { "content-type": "application/json" } : {},
      body: content && JSON.stringify(content),
      cache: "no-store",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    return { status: answer.status, answer: answer.status === 204 ? null : await answer.json() };
  } catch {
    return { status: 0, answer: null };
  }
}

/**
 * Have the server do something.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [content]
 * @returns {Promise<any>} its answer
 * @throws {Error} with what it says where it does not do it
 */
export async function act(method, path, content) {
  const { status, answer } = await ask(method, path, content);
  if (status >= 200 && status < 300) return answer;
  const said = [answer?.detail, ...(answer?.errors ?? [])].filter(Boolean).join(": ");
  throw new Error(said || "The server does not answer. Try again.");
}
