// A table that is read from the API page by page, and says when it is loading, empty or broken.

import { byId, element, setText } from "../dom.js";
import { count, when, whenWhole } from "../format.js";
import { KeyedList } from "../keyed_list.js";
import { say, sayFault } from "../notice.js";
import { merged } from "./merging.js";

// As the server gives them out, and as many as it gives at once.
const PAGE_ROWS = 100;
const ROWS_MAX = 1_000;
// New rows are told of up to this number.
const NEWS_ROWS = 100;
const LOOK_AGAIN_MS = 2_000;

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
  #keyOf;
  #isLooking = false;
  #hasToLook = false;

  /**
   * @param id prefix of the ids of its elements
   * @param load given `after` and how many, asks for a page
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
    this.#keyOf = keyOf;
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
    this.#part("news").addEventListener("click", () => {
      scrollTo(0, 0);
      this.refresh();
    });
  }

  /**
   * The rows may have changed. A reader at the top of the first page sees all of it; for others the rows stay
   * where they are, change in place, and a button says how many are new.
   */
  follow() {
    // A list without rows has no place on the page, and nobody stands in it.
    const isAtTop =
      this.#shown.length === 0 || (this.#shown.length <= PAGE_ROWS && scrollY < this.#part("table").offsetTop);
    return isAtTop ? this.refresh() : this.#lookAgain();
  }

  async #lookAgain() {
    if (this.#isLooking) {
      this.#hasToLook = true;
      return;
    }
    this.#isLooking = true;
    const generation = this.#generation;
    try {
      const page = await this.#load(undefined, Math.min(ROWS_MAX, this.#shown.length + NEWS_ROWS));
      if (generation !== this.#generation) return;
      const { rows, news } = merged(this.#shown, this.#items(page), this.#keyOf, page.next_after === null);
      this.#shown = rows;
      this.#show();
      this.#showNews(news);
    } catch {
      // The rows stay; the page says by itself that the server is away.
    } finally {
      this.#isLooking = false;
    }
    if (!this.#hasToLook) return;
    this.#hasToLook = false;
    setTimeout(() => this.follow(), LOOK_AGAIN_MS);
  }

  #showNews(news) {
    const button = this.#part("news");
    button.hidden = news === 0;
    setText(button, news === 0 ? "" : count(news, "new entry", "new entries"));
  }

  /** Read anew from the first page on; what is shown stays until that is there. */
  async refresh() {
    this.#generation += 1;
    const generation = this.#generation;
    this.#showNews(0);
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
    say(this.#part("notice"), headline, text);
  }

  #fail(error) {
    sayFault(this.#part("notice"), "This could not be read", error, () => this.refresh());
  }

  #part(name) {
    return byId(`${this.#id}-${name}`);
  }
}
