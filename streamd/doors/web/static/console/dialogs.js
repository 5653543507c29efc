// Dialogs that show a key or a token once, and the word that something is done.

import { open } from "../asking.js";
import { copyable } from "../copying.js";
import { byId, element, setText } from "../dom.js";

/**
 * Show a new key, at the only time when it can be seen.
 *
 * @param {NewKey} key
 */
export function showKey(key) {
  return showOnce(
    `The stream key of ${key.user}`,
    "new-key",
    element(
      "p",
      { class: "callout warning" },
      element("strong", {}, "It is shown this once. "),
      "The server keeps no copy: pass it on now, or rotate the key later.",
    ),
    copyable("Stream key", key.stream_key, { id: "new-key", isSecret: true }),
    copyable("Server", key.rtmp_url, { id: "new-key-server" }),
    element("h3", {}, "In OBS"),
    element(
      "ol",
      { class: "steps" },
      element(
        "li",
        {},
        "Settings → Stream: Service ",
        element("b", {}, "Custom…"),
        ", then Server and Stream Key as above.",
      ),
      element(
        "li",
        {},
        "Settings → Output: Output Mode ",
        element("b", {}, "Advanced"),
        ", Streaming: Keyframe Interval ",
        element("b", {}, "2 s"),
        ".",
      ),
      element("li", {}, "Start Streaming."),
    ),
    element(
      "p",
      { class: "hint" },
      "How it goes, and why OBS does not connect if it does not, the broadcaster sees with this key at ",
      element("code", {}, `${document.body.dataset.public}/studio`),
      ".",
    ),
  );
}

/**
 * Show what can be seen at no other time, until its reader says that it is saved.
 *
 * @param {string} title
 * @param {string} focused id of the field with it
 * @param {(Node | string)[]} content
 */
export function showOnce(title, focused, ...content) {
  let isSaved = false;
  const seen = element(
    "button",
    {
      class: "button primary",
      type: "button",
      onclick() {
        isSaved = true;
        dialog.close();
      },
    },
    "I have saved it",
  );
  const dialog = open(title, ...content, element("div", { class: "buttons" }, seen));
  // Whatever closes it but this button would throw the key away: Escape, a phone's way back, a session that ends. No
  // event tells of all of them in time to prevent it, so it is opened again.
  /** @type {(event: Event) => void} */
  const stay = (event) => event.preventDefault();
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.preventDefault();
  });
  dialog.addEventListener("cancel", stay);
  window.addEventListener("beforeunload", stay);
  byId(focused).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (isSaved) {
        window.removeEventListener("beforeunload", stay);
        resolve(undefined);
      } else {
        document.body.append(dialog);
        dialog.showModal();
      }
    });
  });
}

let snackTimer = 0;

/**
 * Say that something is done.
 *
 * @param {string} text
 */
export function tell(text) {
  const snack = byId("snack");
  setText(snack, text);
  clearTimeout(snackTimer);
  snackTimer = setTimeout(() => setText(snack, ""), 6_000);
}
