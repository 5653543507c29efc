// The bar with which the viewer goes back in a live stream, up to hours: how far behind live it is to play.

import { byId, setText } from "./dom.js";
import { clockTime } from "./storyboard.js";

// Nearer to live than this is live: the page plays it from the live playlist.
const LIVE_S = 15;

export class PastBar {
  #box = byId("past");
  #bar = byId("past-bar", HTMLInputElement);
  #onChosen;
  #isHeld = false;
  /** Seconds that the past goes back. */
  #reach = 0;
  /** @type {number | null} */
  #behind = null;

  /** @param {() => void} onChosen called when the viewer has gone to another place in the past, or comes back to live */
  constructor(onChosen) {
    this.#onChosen = onChosen;
    this.#bar.addEventListener("input", () => {
      this.#isHeld = true;
      this.#tell(-this.#bar.valueAsNumber);
    });
    this.#bar.addEventListener("change", () => {
      this.#isHeld = false;
      const behind = -this.#bar.valueAsNumber;
      this.#behind = behind < LIVE_S ? null : behind;
      this.#onChosen();
    });
  }

  /** Seconds behind live that the viewer wants to be; null for live. */
  get behind() {
    return this.#behind;
  }

  /** Live again. */
  leave() {
    this.#behind = null;
    this.#show(0);
  }

  /**
   * Know what there is to go back to.
   *
   * @param {LiveChannel} stream
   */
  offer(stream) {
    this.#reach = stream.past ? stream.past_s : 0;
    this.#box.hidden = this.#reach < LIVE_S;
    this.#bar.min = String(-Math.floor(this.#reach));
    if (!stream.past) this.#behind = null;
    this.#show(this.#behind ?? 0);
  }

  /**
   * Show where it plays.
   *
   * @param {number} latency seconds behind the newest media of the past, or NaN
   */
  follow(latency) {
    if (this.#behind === null || !Number.isFinite(latency)) return;
    this.#behind = Math.max(latency, 0);
    this.#show(this.#behind);
  }

  /** @param {number} behind */
  #show(behind) {
    if (this.#isHeld) return;
    this.#bar.value = String(-behind);
    this.#tell(behind);
  }

  /** @param {number} behind */
  #tell(behind) {
    const isLive = behind < LIVE_S;
    const told = isLive ? "" : `\u2212${clockTime(behind)}`;
    setText(byId("past-time"), told);
    this.#bar.setAttribute("aria-valuetext", isLive ? "Live" : `${clockTime(behind)} behind live`);
  }
}
