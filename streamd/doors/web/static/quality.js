// The qualities of a channel that has several: which of them plays, and which one the viewer wants.

import { byId, element, setText } from "./dom.js";
import { keep, recall } from "./storage.js";

const QUALITY_SETTING = "streamd.quality";
const AUTO = "auto";

/**
 * The viewer's choice: the name of a quality, such as "360p". A channel that has none of it plays as it likes.
 */
export function chosenQuality() {
  return recall("localStorage", QUALITY_SETTING) ?? AUTO;
}

/** The part of the player's menu that offers them. */
export class QualityMenu {
  #group = byId("quality-items");
  #onChosen;
  #shown = "";

  /** @param {(name: string) => void} onChosen called with what the viewer wants, "auto" for whatever the line carries */
  constructor(onChosen) {
    this.#onChosen = onChosen;
  }

  /** There is something to choose from. */
  get isOffered() {
    return !this.#group.hidden;
  }

  /**
   * Say what there is, and what is loaded.
   *
   * @param {readonly string[]} names the best first
   * @param {string} loaded
   */
  show(names, loaded) {
    const chosen = names.includes(chosenQuality()) ? chosenQuality() : AUTO;
    const known = JSON.stringify([names, chosen, loaded]);
    if (known === this.#shown) return;
    const hasChanged = JSON.parse(this.#shown || "[[]]")[0].join() !== names.join();
    this.#shown = known;
    this.#group.hidden = names.length < 2;
    // An item that has the focus stays the same element.
    if (hasChanged) this.#group.replaceChildren(...[AUTO, ...names].map((name) => this.#newItem(name)));
    for (const item of this.#group.querySelectorAll("button")) {
      const { quality = "" } = item.dataset;
      item.setAttribute("aria-checked", String(quality === chosen));
      setText(item, quality === AUTO ? (loaded && chosen === AUTO ? `Auto (${loaded})` : "Auto") : quality);
    }
  }

  /** @param {string} name */
  #newItem(name) {
    return element("button", {
      type: "button",
      role: "menuitemradio",
      "aria-checked": "false",
      tabindex: -1,
      "data-quality": name,
      onclick: () => {
        keep("localStorage", QUALITY_SETTING, name === AUTO ? null : name);
        this.#onChosen(name);
      },
    });
  }
}
