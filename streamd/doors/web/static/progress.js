// Whether playback goes on, and what to do where it does not. No event tells that it stands still: the page reads the
// clock and the <video> twice a second and asks here. Nothing here reads either by itself.

// Playback stands still: ask the server after the first and less and less often then, build the player anew after the
// second, but only if there is media to play. Where the playlist stands still too, the broadcaster is being waited for.
export const STALL_ASK_MS = 1_000;
export const STALL_ASK_MAX_MS = 4_000;
export const STALL_REBUILD_MS = 10_000;
// A stream that has its end and stands still has been played; the last of it may take its time to come.
export const STALL_END_MS = 1_500;
// Media that comes part by part, or frame by frame, and has not come for so long: ask before playback stands still.
export const QUIET_ASK_MS = 2_200;
export const PLAYLIST_QUIET_MS = 5_000;
// Longer than a broadcaster may take to come back, unless the operator has set more.
export const PUSH_QUIET_MS = 40_000;
// A stall leaves the viewer behind, further than playing a little faster brings back: jump after this long.
export const BEHIND_MS = 3_000;
// A pushed stream that stalls so often in such a time is given up for LL-HLS, which has more in hand.
export const PUSH_STALLS_MAX = 3;
export const PUSH_STALLS_WINDOW_MS = 30_000;

/**
 * One look at playback.
 *
 * @typedef {object} Reading
 * @property {number} now milliseconds of the page's clock
 * @property {number} position of the <video>, seconds
 * @property {boolean} hasPlayed a frame has been shown
 * @property {boolean} isPaused
 * @property {boolean} needsGesture the browser plays only after one, and none has come
 * @property {number} liveAt when the server last called the channel live, on the page's clock
 * @property {Pick<Engine, "isPush" | "isLowLatency" | "hasEnd" | "quietMs">} engine
 *
 * @typedef {"finish" | "ask" | "rebuild" | "wait"} Step finish: what was played is all there is; ask the server; rebuild
 *   the player; wait for the broadcaster
 */

/** How long playback has stood still, and what that asks for. */
export class StallWatch {
  #position;
  #movedAt;
  #askedAt = Number.NEGATIVE_INFINITY;
  #askAgainMs = STALL_ASK_MS / 2;

  /**
   * @param {number} now
   * @param {number} position
   */
  constructor(now, position) {
    this.#movedAt = now;
    this.#position = position;
  }

  /** @param {number} now */
  stalledMs(now) {
    return now - this.#movedAt;
  }

  /**
   * @param {Reading} reading
   * @returns {Step[]} in the order in which to take them; none where playback goes on
   */
  look({ now, position, hasPlayed, isPaused, needsGesture, liveAt, engine }) {
    const isQuiet = (engine.isPush || engine.isLowLatency) && !engine.hasEnd && engine.quietMs > QUIET_ASK_MS;
    if (position !== this.#position || (isPaused && hasPlayed)) {
      this.#position = position;
      this.#movedAt = now;
      if (isQuiet && hasPlayed && !isPaused) return this.#mayAsk(now) ? ["ask"] : [];
      this.#askAgainMs = STALL_ASK_MS / 2;
      return [];
    }
    /** @type {Step[]} */
    const steps = [];
    const stalledMs = this.stalledMs(now);
    if (engine.hasEnd && hasPlayed && stalledMs > STALL_END_MS) return ["finish"];
    if (stalledMs > STALL_ASK_MS && this.#mayAsk(now)) steps.push("ask");
    if (stalledMs > STALL_REBUILD_MS && !needsGesture) {
      const isStarved = hasPlayed && engine.quietMs > PLAYLIST_QUIET_MS;
      // A playlist that stands still came through the network. Of a connection, only the server's answer tells.
      const isCutOff = engine.isPush && (liveAt < this.#movedAt || stalledMs > PUSH_QUIET_MS);
      steps.push(!isStarved || isCutOff ? "rebuild" : "wait");
    }
    return steps;
  }

  /** @param {number} now */
  #mayAsk(now) {
    if (now - this.#askedAt <= this.#askAgainMs) return false;
    this.#askedAt = now;
    this.#askAgainMs = Math.min(STALL_ASK_MAX_MS, this.#askAgainMs * 2);
    return true;
  }
}

/** Whether a viewer who wants to be at the live edge has been behind it for too long. */
export class BehindWatch {
  #since;

  /** @param {number} now */
  constructor(now) {
    this.#since = now;
  }

  /**
   * @param {number} now
   * @param {boolean} mayBeBehind being where it is, is right: at the edge, paused, gone back, or not begun
   * @param {number} quietMs since media last arrived: without any, there is no edge to jump to
   * @returns {boolean} whether to jump now
   */
  look(now, mayBeBehind, quietMs) {
    if (mayBeBehind) {
      this.#since = now;
      return false;
    }
    if (now - this.#since <= BEHIND_MS || quietMs >= PLAYLIST_QUIET_MS) return false;
    this.#since = now;
    return true;
  }
}

/** The stalls of a pushed stream within the last time. */
export class StallCount {
  /** @type {number[]} */
  #at = [];

  /**
   * @param {number} now
   * @returns {boolean} whether there were too many
   */
  add(now) {
    this.#at = this.#at.filter((at) => now - at < PUSH_STALLS_WINDOW_MS);
    return this.#at.push(now) >= PUSH_STALLS_MAX;
  }
}
