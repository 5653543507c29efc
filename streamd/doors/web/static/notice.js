// The words in the place of a list that is empty, or that could not be read.

import { messageOf } from "./asking.js";
import { element } from "./dom.js";

/**
 * Say something.
 *
 * @param {Element} place
 * @param {string} headline
 * @param {string} text empty for none
 * @param {Node[]} more behind it
 */
export function say(place, headline, text = "", ...more) {
  place.replaceChildren(
    element("p", { class: "notice-head" }, headline),
    ...(text ? [element("p", {}, text)] : []),
    ...more,
  );
}

/**
 * Say that something went wrong, with a button that tries it again.
 *
 * @param {Element} place
 * @param {string} headline
 * @param {unknown} error
 * @param {() => void} again
 */
export function sayFault(place, headline, error, again) {
  const retry = element("button", { class: "button", type: "button", onclick: again }, "Try again");
  say(place, headline, messageOf(error), retry);
}
