// The face of the watch page around the player: the notice over the picture, the badge and the figures under it.

import { byId, setText } from "./dom.js";
import { LOOKS, MESSAGES } from "./page_state.js";
import { elapsed, hasPicture, quality, watching } from "./viewer_format.js";

const ELAPSED_MS = 1_000;
const { body } = document;

export class WatchPage {
  #start = byId("start", HTMLButtonElement);
  #retry = byId("retry", HTMLButtonElement);
  #liveSince = "";
  #wake = () => {};

  /** @param {string} channel */
  constructor(channel) {
    this.channel = channel;
    this.#retry.addEventListener("click", () => {
      this.show(MESSAGES.connecting);
      this.#wake();
    });
    // The clock goes on between two questions to the server.
    setInterval(() => this.#showElapsed(), ELAPSED_MS);
  }

  /** @returns {import("./page_state.js").PageState} */
  get state() {
    return /** @type {import("./page_state.js").PageState} */ (body.dataset.state);
  }

  get isPlaying() {
    return this.state === "playing";
  }

  /** The browser does not play without a gesture, and the big button waits for it. */
  get needsGesture() {
    return !this.#start.hidden;
  }

  /** @param {import("./page_state.js").Message} message */
  show({ state, title, detail, badge }) {
    const look = LOOKS[state];
    body.dataset.state = state;
    setText(byId("notice-title"), title);
    setText(byId("notice-detail"), detail);
    this.#retry.hidden = !look.offersRetry;
    if (!look.mayAwaitGesture) this.#start.hidden = true;
    this.badge(badge ?? look.badge);
    document.title = `${look.mark ?? ""}${this.channel} – streamd`;
    if (!look.hasFacts) this.showFacts(null);
  }

  /** @param {string} text */
  badge(text) {
    setText(byId("badge"), text);
    byId("badge").toggleAttribute("data-live", text === LOOKS.playing.badge);
  }

  /** Nothing that trying again could change. */
  giveUp() {
    this.#retry.hidden = true;
  }

  /** @param {string} text over the picture, while it stands still */
  hint(text) {
    setText(byId("hint"), text);
  }

  /**
   * @param {LiveChannel | null} stream
   * @param {{videoWidth: number, videoHeight: number}} [shown] the picture that plays
   */
  showFacts(stream, shown) {
    // The reader is one, also where the server has not counted yet.
    const viewersMin = this.isPlaying ? 1 : 0;
    setText(byId("viewers"), stream ? watching(Math.max(stream.viewers, viewersMin)) : "");
    setText(byId("quality"), stream ? quality(stream, shown) : "");
    body.toggleAttribute("data-sound-only", stream !== null && !hasPicture(stream));
    this.#liveSince = stream ? stream.live_since : "";
    this.#showElapsed();
  }

  /**
   * Offer the big button, and wait for it.
   *
   * @returns {Promise<boolean>} true once it is pressed
   */
  asked() {
    return new Promise((resolve) => {
      this.#start.addEventListener("click", () => resolve(true), { once: true });
    });
  }

  offerStart() {
    this.#start.hidden = false;
  }

  /**
   * Wait; the "Try again" button and, for a page that nobody saw, being looked at cut it short.
   *
   * @param {number} ms
   * @returns {Promise<void>}
   */
  sleep(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        document.removeEventListener("visibilitychange", onVisible);
        resolve();
      };
      const onVisible = () => {
        if (!document.hidden) wake();
      };
      const timer = setTimeout(wake, ms);
      document.addEventListener("visibilitychange", onVisible);
      this.#wake = wake;
    });
  }

  #showElapsed() {
    const since = this.#liveSince && elapsed(this.#liveSince);
    setText(byId("since"), since && `live for ${since}`);
  }
}
