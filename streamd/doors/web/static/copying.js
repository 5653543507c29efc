// Copying a text out of a page.

import { byId, element, icon, setText } from "./dom.js";

// How long a button says that it has copied.
const SAID_MS = 2_000;

/**
 * Copy what a field holds.
 *
 * @param {HTMLInputElement} field
 * @returns {Promise<boolean>} whether it is copied; otherwise it stands selected
 */
async function copy(field) {
  // A copy by the browser's old command is of the selection in the field that has the focus.
  const before = document.activeElement;
  field.focus();
  field.select();
  try {
    // Only in a secure context: HTTPS, or this very machine.
    await navigator.clipboard.writeText(field.value);
    if (before instanceof HTMLElement) before.focus();
    return true;
  } catch {
    // Old, but there on plain HTTP, which is how a server of one's own begins.
    const isCopied = document.execCommand("copy");
    if (isCopied && before instanceof HTMLElement) before.focus();
    return isCopied;
  }
}

/** Wire every button of the page that names, in data-copies, the field whose text it copies. */
export function wireCopying() {
  for (const button of document.querySelectorAll("button")) {
    if (!button.dataset.copies) continue;
    const said = byId("copied");
    const field = byId(button.dataset.copies, HTMLInputElement);
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", async () => {
      // A screen reader speaks when the text changes, also from "Copied" to "Copied".
      said.textContent = "";
      said.textContent = (await copy(field)) ? "Copied." : "Press Ctrl+C or ⌘C to copy.";
    });
  }
}

/**
 * A text to be copied: a field that cannot be changed, with its button.
 *
 * @param {string} label
 * @param {string} text
 * @param {{id: string, isSecret?: boolean}} options
 */
export function copyable(label, text, { id, isSecret = false }) {
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
  return element("div", { class: "copyable" }, element("label", { for: id }, label), field, copyButton(field));
}

/**
 * A button that copies what a field holds, and says so.
 *
 * @param {HTMLInputElement} field
 */
function copyButton(field) {
  const caption = element("span", {}, "Copy");
  const button = element("button", { class: "button small", type: "button" }, icon("copy"), caption);
  const status = element("span", { class: "visually-hidden", role: "status" });
  button.addEventListener("click", async () => {
    const isDone = await copy(field);
    setText(caption, isDone ? "Copied" : "Press Ctrl+C");
    setText(status, isDone ? "Copied" : "");
    setTimeout(() => {
      setText(caption, "Copy");
      setText(status, "");
    }, SAID_MS);
  });
  return element("span", { class: "copy" }, button, status);
}
