// Lists that change under the eyes of whoever looks at them.

/**
 * The children of an element that stand for a list of things. A thing keeps its element for as long as it is listed, and
 * with it the focus and whatever else the element has become.
 *
 * @template Thing
 */
export class KeyedList {
  #container;
  #keyOf;
  #make;
  /** @type {Map<string | number, Row<Thing>>} */
  #rows = new Map();

  /**
   * @param {Element} container
   * @param {(thing: Thing) => string | number} keyOf what a thing is known by
   * @param {(thing: Thing) => Row<Thing>} make
   */
  constructor(container, keyOf, make) {
    this.#container = container;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  /** @param {readonly Thing[]} things */
  show(things) {
    const keys = new Set(things.map(this.#keyOf));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      this.#rows.delete(key);
      // A row may take its time to go; meanwhile the others stand around it.
      row.root.dataset.leaving = "";
      if (row.remove) row.remove();
      else row.root.remove();
    }
    /** @param {Element | null} child */
    const after = (child) => {
      let next = child;
      while (next?.hasAttribute("data-leaving")) next = next.nextElementSibling;
      return next;
    };
    let next = after(this.#container.firstElementChild);
    for (const thing of things) {
      const key = this.#keyOf(thing);
      const row = this.#rows.get(key) ?? this.#make(thing);
      this.#rows.set(key, row);
      row.update(thing);
      // Moving an element that stands right would take the focus from it.
      if (row.root === next) next = after(row.root.nextElementSibling);
      else this.#container.insertBefore(row.root, next);
    }
  }
}
