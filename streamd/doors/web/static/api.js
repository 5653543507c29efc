// What the pages ask the server: the public JSON, gently.

const REQUEST_TIMEOUT_MS = 10_000;

/** @param {string} path */
async function get(path) {
  return fetch(path, {
    headers: { accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
}

/**
 * How a channel is: live, offline, gone (taken down) or unreachable (no answer, or one that says nothing about it).
 *
 * @typedef {{kind: "live", stream: LiveChannel} | {kind: "offline" | "gone" | "unreachable"}} Found
 */

/**
 * Ask how a channel is.
 *
 * @param {string} name
 * @returns {Promise<Found>}
 */
export async function lookUp(name) {
  try {
    const answer = await get(`/api/v1/streams/${encodeURIComponent(name)}`);
    if (answer.ok) return { kind: "live", stream: await answer.json() };
    if (answer.status === 404) return { kind: "offline" };
    if (answer.status === 410) return { kind: "gone" };
  } catch {
    // No network, a timeout, or a body that is not JSON: all the same to a viewer.
  }
  return { kind: "unreachable" };
}

/**
 * The channels that are live, or null where the server does not answer.
 *
 * @returns {Promise<LiveChannel[] | null>}
 */
export async function listStreams() {
  try {
    const answer = await get("/api/v1/streams");
    if (answer.ok) return (await answer.json()).streams;
  } catch {
    // As in lookUp.
  }
  return null;
}
