// Questions that are asked before something is done, and the key that is shown once. All of them are <dialog>s: the
// browser keeps the focus inside, and gives it back.

import { copyable } from "../copying.js";
import { byId, element, setText } from "../dom.js";
import { messageOf } from "./client.js";

let serial = 0;

/**
 * An id that no other element of the page has.
 *
 * @param {string} kind
 */
function newId(kind) {
  serial += 1;
  return `${kind}-${serial}`;
}

/**
 * A field of a dialog with its label.
 *
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {string} [hint]
 */
function field(label, control, hint) {
  control.id = newId("field");
  if (hint) control.setAttribute("aria-describedby", `${control.id}-hint`);
  return element(
    "div",
    { class: "field" },
    element("label", { for: control.id }, label),
    control,
    hint ? element("p", { class: "hint", id: `${control.id}-hint` }, hint) : null,
  );
}

/**
 * @param {string} label
 * @param {{hint?: string, [attribute: string]: unknown}} options the rest are attributes of the <input>
 * @returns {Field}
 */
export function textField(label, { hint, ...attributes } = {}) {
  const control = element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
  return { row: field(label, control, hint), value: () => control.value.trim() };
}

/**
 * @param {string} label
 * @param {readonly (readonly [string | number, string])[]} choices values and their texts
 * @param {string | number} [chosen]
 * @returns {Field}
 */
export function choiceField(label, choices, chosen) {
  const options = choices.map(([value, text]) => element("option", { value, selected: value === chosen }, text));
  const control = element("select", {}, ...options);
  return { row: field(label, control), value: () => control.value };
}

/**
 * @param {string} title
 * @param {(Node | string)[]} content
 */
function open(title, ...content) {
  const id = newId("dialog");
  const dialog = element("dialog", { "aria-labelledby": id }, element("h2", { id }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask before something is done, and do it while the dialog is open: what goes wrong is said in it.
 *
 * @template Result
 * @param {object} question
 * @param {string} question.title
 * @param {Node[]} [question.body] between the title and the fields
 * @param {Field[]} [question.fields]
 * @param {string} question.confirm
 * @param {boolean} [question.isDangerous]
 * @param {(...values: string[]) => Promise<Result>} question.act its result is that of this function
 * @returns {Promise<Result | undefined>} undefined where the operator has thought better of it
 */
export function ask({ title, body = [], fields = [], confirm, isDangerous = false, act }) {
  return new Promise((resolve) => {
    const error = element("p", { class: "form-error", role: "alert" });
    const submit = element(
      "button",
      { class: `button ${isDangerous ? "danger" : "primary"}`, type: "submit" },
      confirm,
    );
    const cancel = element("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = element(
      "form",
      { method: "dialog" },
      ...body,
      ...fields.map(({ row }) => row),
      error,
      element("div", { class: "buttons" }, cancel, submit),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      setText(error, "");
      try {
        const result = await act(...fields.map(({ value }) => value()));
        resolve(result);
        dialog.close();
      } catch (problem) {
        setText(error, messageOf(problem));
      } finally {
        submit.disabled = false;
      }
    });
    const dialog = open(title, form);
    dialog.addEventListener("close", () => resolve(undefined));
    // What cannot be undone is not done by pressing Enter once too often.
    if (isDangerous && fields.length === 0) cancel.focus();
  });
}

/**
 * Show a new key, at the only time when it can be seen.
 *
 * @param {NewKey} key
 */
export function showKey(key) {
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
  const dialog = open(
    `The stream key of ${key.user}`,
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
    element("div", { class: "buttons" }, seen),
  );
  // Whatever closes it but this button would throw the key away: Escape, a phone's way back, a session that ends. No
  // event tells of all of them in time to prevent it, so it is opened again.
  /** @type {(event: Event) => void} */
  const stay = (event) => event.preventDefault();
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.preventDefault();
  });
  dialog.addEventListener("cancel", stay);
  window.addEventListener("beforeunload", stay);
  byId("new-key").focus();
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
