// The player's menu: which of the ways to play the viewer wants, and which quality; kept from visit to visit.

import { byId } from "./dom.js";
import { QualityMenu } from "./quality.js";
import { keep, recall } from "./storage.js";

const MODE_SETTING = "streamd.mode";
// The order where the viewer has not chosen, or the choice does not play. LL-HLS first: it comes through caches,
// and a network that is late by a second makes it stall no more than the page's other ways. One connection with 0.4 s
// of media in hand is for those who ask for it.
/** @type {Mode[]} */
const PREFERENCE = ["low", "stable", "lowest"];
/** @type {Readonly<Record<Mode, string>>} */
const NAMES = { lowest: "Lowest latency", low: "Low latency", stable: "Stable" };
const TOAST_MS = 8_000;

/** @returns {Mode} */
function readChoice() {
  const kept = recall("localStorage", MODE_SETTING);
  return PREFERENCE.find((mode) => mode === kept) ?? PREFERENCE[0];
}

/** @type {(item: HTMLElement) => Mode} */
const modeOf = (item) => /** @type {Mode} */ (item.dataset.mode);

/** The button and its menu (ARIA Authoring Practices: menu button, menuitemradio). */
export class ModeMenu {
  #button = byId("mode");
  #menu = byId("mode-menu");
  /** @type {HTMLButtonElement[]} */
  #items = [...this.#menu.querySelectorAll("button[data-mode]")].filter((item) => item instanceof HTMLButtonElement);
  #onMode;
  #qualities;
  #hasModes = false;
  /** @type {Mode} */
  #choice = readChoice();
  /** @type {Mode | ""} */
  #playing = "";
  // Modes that played badly. They are left out until the next broadcast, or until they are chosen again.
  /** @type {Set<Mode>} */
  #avoided = new Set();
  #toastTimer = 0;

  /**
   * @param {object} hooks
   * @param {() => void} hooks.onMode called when the viewer wants another mode than the one that plays
   * @param {(name: string) => void} hooks.onQuality called with the quality that the viewer wants
   */
  constructor({ onMode, onQuality }) {
    this.#onMode = onMode;
    this.#qualities = new QualityMenu((name) => {
      this.#close();
      onQuality(name);
    });
    this.#button.addEventListener("click", () => (this.#menu.hidden ? this.#open() : this.#close()));
    this.#button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
      event.preventDefault();
      event.stopPropagation();
      this.#open();
    });
    this.#menu.addEventListener("keydown", (event) => this.#onKey(event));
    for (const item of this.#items) item.addEventListener("click", () => this.#choose(modeOf(item)));
    // A viewer who goes elsewhere, by pointer or by Tab, is done with it.
    const leave = ({ target }) => {
      if (!this.#menu.hidden && !this.#menu.contains(target) && !this.#button.contains(target))
        this.#menu.hidden = true;
      this.#button.setAttribute("aria-expanded", String(!this.#menu.hidden));
    };
    document.addEventListener("pointerdown", leave);
    document.addEventListener("focusin", leave);
  }

  /**
   * The mode to play of those that are there: the viewer's, or the best of the rest.
   *
   * @param {Modes} available
   */
  pick(available) {
    const wanted = [this.#choice, ...PREFERENCE];
    return (
      wanted.find((mode) => available.has(mode) && !this.#avoided.has(mode)) ??
      wanted.find((mode) => available.has(mode))
    );
  }

  /**
   * Whether the viewer's mode may yet be there: a server that has started again learns of the tracks with the media.
   *
   * @param {LiveChannel} stream
   */
  awaits(stream) {
    return this.#choice === "lowest" && !stream.push_codecs && stream.variants.length === 0;
  }

  /**
   * Say which mode plays, of which ones.
   *
   * @param {Mode} mode
   * @param {Modes} available
   */
  show(mode, available) {
    this.#playing = mode;
    byId("mode-name").textContent = NAMES[mode];
    this.#hasModes = available.size > 1;
    this.#button.hidden = !this.#hasModes && !this.#qualities.isOffered;
    this.#button.setAttribute("aria-label", `Latency: ${NAMES[mode]}`);
    for (const item of this.#items) {
      item.hidden = !available.has(modeOf(item));
      item.setAttribute("aria-checked", String(item.dataset.mode === mode));
      item.toggleAttribute("data-avoided", this.#avoided.has(modeOf(item)));
    }
  }

  /**
   * Say how far behind live it is.
   *
   * @param {number} latency seconds or NaN
   */
  showLatency(latency) {
    const behind = Number.isFinite(latency) && latency >= 0 ? `${latency.toFixed(1)} s` : "";
    byId("latency").textContent = behind;
    byId("mode-now").textContent = behind && `${behind} behind live`;
  }

  /**
   * Say which qualities there are, and which one is loaded.
   *
   * @param {readonly string[]} names the best first
   * @param {string} loaded
   */
  showQualities(names, loaded) {
    this.#qualities.show(names, loaded);
    this.#button.hidden = !this.#hasModes && !this.#qualities.isOffered;
  }

  /**
   * Leave out a mode that plays badly.
   *
   * @param {Mode} mode
   * @param {Modes} available
   * @returns {boolean} whether there is another
   */
  avoid(mode, available) {
    this.#avoided.add(mode);
    const next = this.pick(available);
    if (!next || next === mode) return false;
    byId("toast").textContent = `${NAMES[mode]} does not play well here. Now: ${NAMES[next].toLowerCase()}.`;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => {
      byId("toast").textContent = "";
    }, TOAST_MS);
    return true;
  }

  /** Another broadcast, another chance. */
  forgive() {
    this.#avoided.clear();
  }

  /** @param {Mode} mode */
  #choose(mode) {
    this.#close();
    this.#choice = mode;
    this.#avoided.delete(mode);
    keep("localStorage", MODE_SETTING, mode);
    if (mode !== this.#playing) this.#onMode();
  }

  #open() {
    this.#menu.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#items.find((item) => item.dataset.mode === this.#playing)?.focus();
  }

  #close() {
    this.#menu.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    this.#button.focus();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    // The player's own keys rest while the menu has the focus.
    event.stopPropagation();
    /** @type {HTMLElement[]} */
    const items = [...this.#menu.querySelectorAll("button")].filter((item) => item.offsetParent !== null);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to !== undefined) items[to].focus();
    else if (event.key === "Escape") this.#close();
    else return;
    event.preventDefault();
  }
}
