// A row of something that belongs to the broadcaster: its title, its facts, and three buttons.

import { element, setText } from "../dom.js";

/**
 * Make a row.
 *
 * @param {string} address where it is watched
 * @param {() => void} change
 * @param {() => void} remove
 * @param {{beside?: Node, below?: Node}} more behind the title, and below the facts
 */
export function ownRow(address, change, remove, { beside, below } = {}) {
  const title = element("strong");
  const facts = element("p", { class: "hint" });
  const watching = element("a", { class: "button small", href: address, target: "_blank", rel: "noopener" }, "Watch");
  const changing = element("button", { class: "button small", type: "button", onclick: change }, "Change");
  const removing = element("button", { class: "button small danger-text", type: "button", onclick: remove }, "Delete");
  const buttons = element("div", { class: "buttons" }, watching, changing, removing);
  const name = element("p", { class: "recording-title" }, title, ...(beside ? [" ", beside] : []));
  return {
    root: element("li", {}, element("div", { class: "what" }, name, facts, below), buttons),
    buttons,
    watching,
    removing,
    /**
     * @param {string} named its title, or what it is called without one
     * @param {(string | false | null | undefined)[]} said of it, where there is something
     */
    show(named, said) {
      setText(title, named);
      setText(facts, said.filter(Boolean).join(" · "));
      for (const button of [watching, changing, removing])
        button.setAttribute("aria-label", `${button.textContent} “${named}”`);
    },
  };
}
