// The next step when a player is over. The page tells this how playing went, and is told what to show and how long to
// wait before it looks for the channel again.

import { MESSAGES } from "./page_state.js";

// Failures in a row before the page stops trying by itself every few seconds; a minute of play clears them.
export const FAILURES_MAX = 6;
export const FAILURES_CLEARED_MS = 60_000;
export const ERROR_WAIT_MS = 60_000;
// A pushed stream whose connection lasts no longer than this is no way to watch.
export const PUSH_LASTS_MS = 5_000;

/**
 * How playing one broadcast in one mode went. After "closed" (only the connection has ended) and "changed" (another mode
 * is wanted) the same broadcast may go on.
 *
 * @typedef {object} Outcome
 * @property {"ended" | "gone" | "failed" | "closed" | "changed"} kind
 * @property {Failure["reason"] | ""} reason of "failed"
 * @property {boolean} [isAwaited] nothing came from the broadcaster, and the server said so
 * @property {number} playedMs since the first frame; 0 without one
 *
 * @typedef {object} Next
 * @property {import("./page_state.js").Message | null} message null where what is shown stays
 * @property {number} waitMs
 */

/** Counts what has gone wrong, and decides by that. */
export class Aftermath {
  #backoff;
  #failures = 0;
  #shortLived = 0;
  /** A broadcast was on this page until now, so "offline" means that it has ended. */
  hasWatched = false;
  /** The broadcaster was away when the player ended: there is nothing to play until media comes again. */
  isAwaited = false;
  /**
   * `live_since` of a broadcast that this page has seen end.
   *
   * @type {string | null}
   */
  finished = null;

  /** @param {import("./backoff.js").Backoff} backoff between failures */
  constructor(backoff) {
    this.#backoff = backoff;
  }

  get hasFailed() {
    return this.#failures > 0;
  }

  /**
   * @param {Outcome} outcome
   * @param {string} liveSince of the broadcast
   * @param {() => boolean} avoid leaves out the mode that was played; whether there is another
   * @returns {Next}
   */
  of({ kind, reason, playedMs, isAwaited = false }, liveSince, avoid) {
    this.finished = null;
    this.isAwaited = isAwaited && kind !== "changed";
    this.hasWatched = kind !== "gone" && (this.hasWatched || playedMs > 0);
    if (playedMs > FAILURES_CLEARED_MS || kind !== "failed") this.#clear();
    this.#shortLived = kind === "closed" && playedMs < PUSH_LASTS_MS ? this.#shortLived + 1 : 0;
    // It is not the viewer's line: nothing is left out, and nothing has failed.
    if (this.isAwaited && (kind === "closed" || kind === "failed")) {
      return { message: MESSAGES.awaitingBroadcaster, waitMs: this.#backoff.next() };
    }
    // Once it may be the end of the broadcast, which the next question to the server tells.
    if (kind === "changed" || (kind === "closed" && this.#shortLived < 2)) return { message: null, waitMs: 0 };
    // The same way again would fail again; another one is there at once.
    if ((kind === "closed" || kind === "failed") && avoid()) return { message: null, waitMs: 0 };
    if (kind === "ended") {
      this.finished = liveSince;
      return { message: MESSAGES.ended, waitMs: 0 };
    }
    if (kind === "gone") return { message: MESSAGES.gone, waitMs: 0 };
    if (reason === "format") return { message: MESSAGES.unknownFormat, waitMs: ERROR_WAIT_MS };
    this.#failures += 1;
    if (this.#failures <= FAILURES_MAX) return { message: MESSAGES.connectionLost, waitMs: this.#backoff.next() };
    this.#clear();
    this.#failures = 1;
    return { message: MESSAGES.keepsFailing, waitMs: ERROR_WAIT_MS };
  }

  #clear() {
    this.#failures = 0;
    this.#backoff.reset();
  }
}
