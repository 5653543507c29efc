// Making and changing elements. Text stays text: nothing here, or in what uses it, makes HTML from a string.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param attributes by name; `onclick` and its like are listeners, true is an attribute without a value, and false, null
 *   and undefined are none
 * @param children nodes, texts, and null for none
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** One of the symbols that the page defines as `<symbol id="icon-…">`. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  made.append(use);
  return made;
}

/** Change a text, if it is another one: live regions speak on every change. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * The children of an element that stand for a list of things. A thing keeps its element for as long as it is listed, and
 * with it the focus and whatever else the element has become.
 */
export class KeyedList {
  #container;
  #keyOf;
  #make;
  #rows = new Map();

  /**
   * @param make given a thing, returns `{root, update(thing), remove?()}`; without `remove` the root just goes
   */
  constructor(container, keyOf, make) {
    this.#container = container;
    this.#keyOf = keyOf;
    this.#make = make;
  }

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
    const after = (child) => {
      while (child && "leaving" in child.dataset) child = child.nextElementSibling;
      return child;
    };
    let next = after(this.#container.firstElementChild);
    for (const thing of things) {
      const key = this.#keyOf(thing);
      const row = this.#rows.get(key) ?? this.#make(thing);
      this.#rows.set(key, row);
      row.update(thing);
      // Moving an element that stands right would take the focus from it.
      if (row.root === next) next = after(next.nextElementSibling);
      else this.#container.insertBefore(row.root, next);
    }
  }
}

/** A button that copies a text, and says so. */
export function copyButton(textOf, label = "Copy") {
  const caption = element("span", {}, label);
  const button = element("button", { class: "button small", type: "button" }, icon("copy"), caption);
  const status = element("span", { class: "visually-hidden", role: "status" });
  button.addEventListener("click", async () => {
    const done = await copy(textOf(), button);
    setText(caption, done ? "Copied" : "Press Ctrl+C");
    setText(status, done ? "Copied" : "");
    setTimeout(() => {
      setText(caption, label);
      setText(status, "");
    }, 2_000);
  });
  return element("span", { class: "copy" }, button, status);
}

async function copy(text, button) {
  try {
    // Only in a secure context: HTTPS, or this very machine.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = button.closest(".copyable")?.querySelector("input");
    field?.select();
    return field ? document.execCommand("copy") : false;
  }
}

/** A text to be copied: a field that cannot be changed, with its button. */
export function copyable(label, text, { id, isSecret = false } = {}) {
  const field = element("input", {
    id,
    class: isSecret ? "secret" : null,
    type: "text",
    readonly: true,
    value: text,
    autocomplete: "off",
    spellcheck: "false",
  });
  field.addEventListener("focus", () => field.select());
  return element(
    "div",
    { class: "copyable" },
    element("label", { for: id }, label),
    field,
    copyButton(() => field.value),
  );
}
