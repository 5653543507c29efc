// A table that is read from the API page by page, and says when it is loading, empty or broken.

import { byId, element } from "../dom.js";
import { when, whenWhole } from "../format.js";
import { KeyedList } from "../keyed_list.js";
import { messageOf } from "./client.js";

/** A time in a table; whoever points at it reads all of it. */
export function time(iso) {
  return element("time", { datetime: iso, title: whenWhole(iso) }, when(iso));
}

/** A cell with the name of its column, which narrow windows show before it. */
export function cell(label, ...content) {
  return element("td", { "data-label": label }, ...content);
}

export class PagedTable {
  #id;
  #load;
  #items;
  #empty;
  #rows;
  #shown = [];
  #next = null;
  #generation = 0;

  /**
   * @param id prefix of the ids of its elements
   * @param load given `after`, asks for a page
   * @param items returns the items of a page
   * @param keyOf what an item is known by
   * @param cellsOf returns the cells of an item's row
   * @param empty returns what is said where there is none: `[headline, text]`
   */
  constructor(id, { load, items, keyOf, cellsOf, empty }) {
    this.#id = id;
    this.#load = load;
    this.#items = items;
    this.#empty = empty;
    this.#rows = new KeyedList(this.#part("rows"), keyOf, () => {
      const root = element("tr");
      let known = "";
      return {
        root,
        update(item) {
          const now = JSON.stringify(item);
          // Replacing cells takes the focus from the buttons in them.
          if (now !== known) root.replaceChildren(...cellsOf(item));
          known = now;
        },
      };
    });
    this.#part("more").addEventListener("click", () => this.#more());
  }

  /** Read anew from the first page on; what is shown stays until that is there. */
  async refresh() {
    this.#generation += 1;
    const generation = this.#generation;
    if (this.#shown.length === 0) this.#say("Loading…");
    try {
      const page = await this.#load();
      if (generation !== this.#generation) return;
      this.#shown = this.#items(page);
      this.#next = page.next_after;
      this.#show();
    } catch (error) {
      if (generation === this.#generation) this.#fail(error);
    }
  }

  async #more() {
    const generation = this.#generation;
    try {
      const page = await this.#load(this.#next);
      if (generation !== this.#generation) return;
      this.#shown = [...this.#shown, ...this.#items(page)];
      this.#next = page.next_after;
      this.#show();
    } catch (error) {
      this.#fail(error);
    }
  }

  #show() {
    this.#rows.show(this.#shown);
    this.#part("table").hidden = this.#shown.length === 0;
    this.#part("more").hidden = this.#next === null;
    if (this.#shown.length === 0) this.#say(...this.#empty());
    else this.#part("notice").replaceChildren();
  }

  #say(headline, text) {
    this.#part("notice").replaceChildren(
      element("p", { class: "notice-head" }, headline),
      text ? element("p", {}, text) : "",
    );
  }

  #fail(error) {
    this.#part("notice").replaceChildren(
      element("p", { class: "notice-head" }, "This could not be read"),
      element("p", {}, messageOf(error)),
      element("button", { class: "button", type: "button", onclick: () => this.refresh() }, "Try again"),
    );
  }

  #part(name) {
    return byId(`${this.#id}-${name}`);
  }
}
