// The latency menu: which of the ways to play the viewer wants, kept from visit to visit.

const MODE_SETTING = "streamd.mode";
// What is played where the viewer has not chosen, or the choice does not play. LL-HLS first: it comes through caches,
// and a network that is late by a second makes it stall no more than the page's other ways. One connection with 0.4 s
// of media in hand is for those who ask for it.
const PREFERENCE = ["low", "stable", "lowest"];
const NAMES = { lowest: "Lowest latency", low: "Low latency", stable: "Stable" };
const TOAST_MS = 8_000;

const element = (id) => document.getElementById(id);

function readChoice() {
  try {
    const kept = localStorage.getItem(MODE_SETTING);
    // NAMES is no Map: "constructor" is not to be found in it.
    if (Object.hasOwn(NAMES, kept)) return kept;
  } catch {
    // No storage allowed.
  }
  return PREFERENCE[0];
}

function keepChoice(mode) {
  try {
    localStorage.setItem(MODE_SETTING, mode);
  } catch {
    // A private window; the choice lasts as long as the page.
  }
}

/** The button and its menu (ARIA Authoring Practices: menu button, menuitemradio). */
export class ModeMenu {
  #button = element("mode");
  #menu = element("mode-menu");
  #items = [...this.#menu.querySelectorAll("[data-mode]")];
  #onChosen;
  #choice = readChoice();
  #playing = "";
  // Modes that played badly. They are left out until the next broadcast, or until they are chosen again.
  #avoided = new Set();
  #toastTimer = 0;

  /** @param onChosen called when the viewer wants another mode than the one that plays */
  constructor(onChosen) {
    this.#onChosen = onChosen;
    this.#button.addEventListener("click", () => (this.#menu.hidden ? this.#open() : this.#close()));
    this.#button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
      event.preventDefault();
      event.stopPropagation();
      this.#open();
    });
    this.#menu.addEventListener("keydown", (event) => this.#onKey(event));
    for (const item of this.#items) item.addEventListener("click", () => this.#choose(item.dataset.mode));
    // Whoever goes elsewhere, by pointer or by Tab, is done with it.
    const leave = ({ target }) => {
      if (!this.#menu.hidden && !this.#menu.contains(target) && !this.#button.contains(target))
        this.#menu.hidden = true;
      this.#button.setAttribute("aria-expanded", String(!this.#menu.hidden));
    };
    document.addEventListener("pointerdown", leave);
    document.addEventListener("focusin", leave);
  }

  /** The mode to play of those that are there: the viewer's, or the best of the rest. */
  pick(available) {
    const wanted = [this.#choice, ...PREFERENCE];
    return (
      wanted.find((mode) => available.has(mode) && !this.#avoided.has(mode)) ??
      wanted.find((mode) => available.has(mode))
    );
  }

  /** Whether the viewer's mode may yet be there: a server that has started again learns of the tracks with the media. */
  awaits(stream) {
    return this.#choice === "lowest" && !stream.push_codecs && stream.variants.length === 0;
  }

  /** Say which mode plays, of which ones. */
  show(mode, available) {
    this.#playing = mode;
    element("mode-name").textContent = NAMES[mode];
    this.#button.hidden = available.size < 2;
    this.#button.setAttribute("aria-label", `Latency: ${NAMES[mode]}`);
    for (const item of this.#items) {
      item.hidden = !available.has(item.dataset.mode);
      item.setAttribute("aria-checked", String(item.dataset.mode === mode));
      item.toggleAttribute("data-avoided", this.#avoided.has(item.dataset.mode));
    }
  }

  /** Say how far behind live it is, seconds or NaN. */
  showLatency(latency) {
    const behind = Number.isFinite(latency) && latency >= 0 ? `${latency.toFixed(1)} s` : "";
    element("latency").textContent = behind;
    element("mode-now").textContent = behind && `${behind} behind live`;
  }

  /**
   * Leave out a mode that plays badly.
   *
   * @returns whether there is another
   */
  avoid(mode, available) {
    this.#avoided.add(mode);
    const next = this.pick(available);
    if (next === mode) return false;
    element("toast").textContent = `${NAMES[mode]} does not play well here. Now: ${NAMES[next].toLowerCase()}.`;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => {
      element("toast").textContent = "";
    }, TOAST_MS);
    return true;
  }

  /** Another broadcast, another chance. */
  forgive() {
    this.#avoided.clear();
  }

  #choose(mode) {
    this.#close();
    this.#choice = mode;
    this.#avoided.delete(mode);
    keepChoice(mode);
    if (mode !== this.#playing) this.#onChosen();
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

  #onKey(event) {
    // The player's own keys rest while the menu has the focus.
    event.stopPropagation();
    const items = this.#items.filter((item) => !item.hidden);
    const at = items.indexOf(document.activeElement);
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
