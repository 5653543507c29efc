// A target of restreaming in a list: its state, its figures, and the words of its trouble.

import { element, setText } from "./dom.js";
import { factsOf, nameOf, TARGET_STATES, troubleOf } from "./restreaming.js";

/**
 * Make a row.
 *
 * @param {Record<string, () => void>} acts what its buttons do, by the text on them
 */
export function targetRow(acts) {
  const title = element("strong");
  const pill = element("span", { class: "pill" });
  const facts = element("p", { class: "hint" });
  const trouble = element("p", { class: "target-trouble" });
  /** @type {Record<string, HTMLButtonElement>} */
  const buttons = {};
  for (const [label, run] of Object.entries(acts)) {
    const isDangerous = label === "Remove";
    buttons[label] = element(
      "button",
      { class: `button small${isDangerous ? " danger-text" : ""}`, type: "button", onclick: run },
      label,
    );
  }
  const what = element("div", { class: "what" }, element("p", { class: "recording-title" }, title, " ", pill));
  what.append(facts, trouble);
  return {
    root: element("li", {}, what, element("div", { class: "buttons" }, ...Object.values(buttons))),
    buttons,
    /** @param {RestreamTarget} target */
    show(target) {
      const { name, level } = TARGET_STATES[target.state] ?? { name: target.state, level: "" };
      setText(title, nameOf(target));
      setText(pill, name);
      pill.dataset.level = level;
      setText(facts, factsOf(target).join(" · "));
      setText(trouble, troubleOf(target));
      trouble.hidden = !trouble.textContent;
      for (const button of Object.values(buttons))
        button.setAttribute("aria-label", `${button.textContent} “${nameOf(target)}”`);
    },
  };
}
