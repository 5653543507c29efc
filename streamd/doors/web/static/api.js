// Questions of the pages to the server: the public JSON, gently.

import { mediaOn, on, TICKET_FIELDS } from "./base.js";

const REQUEST_TIMEOUT_MS = 10_000;
// The server holds the answer to a question about a change for 20 s.
const HELD_TIMEOUT_MS = 30_000;

/**
 * @param {string} path
 * @param {number} timeoutMs
 * @param {AbortSignal} [signal]
 */
async function get(path, timeoutMs = REQUEST_TIMEOUT_MS, signal = undefined) {
  const inTime = AbortSignal.timeout(timeoutMs);
  return fetch(path, {
    headers: { accept: "application/json", ...TICKET_FIELDS },
    cache: "no-store",
    // A browser that cannot listen to both waits for its time to be over.
    signal: signal && "any" in AbortSignal ? AbortSignal.any([inTime, signal]) : inTime,
  });
}

/**
 * A channel with the addresses at which this page reaches it; the server's own may be those of another way to it.
 *
 * @param {LiveChannel} stream
 * @returns {LiveChannel}
 */
function reached(stream) {
  return {
    ...stream,
    playlist: mediaOn("live", stream.name, "index.m3u8"),
    poster: stream.poster && mediaOn("live", stream.name, "poster.jpg"),
  };
}

/**
 * How a channel is: live, offline, starting (its broadcaster is connected, and nothing can be played yet), gone (taken
 * down), locked (the viewer may not watch it, or not any more) or unreachable (no answer, or one that says nothing about
 * it).
 *
 * @typedef {{kind: "live", stream: LiveChannel} | {kind: "offline" | "starting" | "gone" | "locked" | "unreachable"}} Found
 */

/**
 * Ask how a channel is.
 *
 * @param {string} name
 * @param {"offline" | "starting" | "live" | "waiting" | ""} unless what is known: the server answers as soon as it is
 *   another way
 * @param {AbortSignal} [signal] nobody wants to know any more
 * @returns {Promise<Found>}
 */
export async function lookUp(name, unless = "", signal = undefined) {
  const path = on(`api/v1/streams/${encodeURIComponent(name)}`);
  try {
    const answer = await (unless ? get(`${path}?unless=${unless}`, HELD_TIMEOUT_MS, signal) : get(path));
    if (answer.ok) return { kind: "live", stream: reached(await answer.json()) };
    if (answer.status === 404) return { kind: (await answer.json()).state === "starting" ? "starting" : "offline" };
    if (answer.status === 410) return { kind: "gone" };
    // The ticket is over: what would let in again is not known here, but to the address of the page.
    if (answer.status === 403) return { kind: "locked" };
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
    const answer = await get(on("api/v1/streams"));
    if (answer.ok) return (await answer.json()).streams.map(reached);
  } catch {
    // As in lookUp.
  }
  return null;
}
