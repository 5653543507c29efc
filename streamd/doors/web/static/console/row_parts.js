// The buttons and links at the end of a row. Each names the row's subject, for those who hear it alone.

import { element } from "../dom.js";

/**
 * A button.
 *
 * @param {string} label
 * @param {string} subject "the clip Goal of alice", "of alice"
 * @param {() => void} run
 */
export function actButton(label, subject, run, isDangerous = false) {
  return element(
    "button",
    {
      class: `button small${isDangerous ? " danger-text" : ""}`,
      type: "button",
      "aria-label": `${label} ${subject}`,
      onclick: run,
    },
    label,
  );
}

/**
 * A link to a page of the public port, in a tab of its own.
 *
 * @param {string} address
 * @param {string} subject
 */
export function watchLink(address, subject) {
  return element(
    "a",
    { class: "button small", href: address, target: "_blank", rel: "noopener", "aria-label": `Watch ${subject}` },
    "Watch",
  );
}
