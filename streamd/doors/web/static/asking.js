// Questions that are asked before something is done. All of them are <dialog>s: the browser keeps the focus inside, and
// gives it back.

import { element, setText } from "./dom.js";

/**
 * The words for something that was thrown.
 *
 * @param {unknown} thrown
 */
export function messageOf(thrown) {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

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
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
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
 * A line of text, without the spaces around it; a password is what was typed.
 *
 * @param {string} label
 * @param {{hint?: string, [attribute: string]: unknown}} options the rest are attributes of the <input>
 * @returns {Field}
 */
export function textField(label, { hint, ...attributes } = {}) {
  const control = element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
  // Viewers type it into a form that takes it as it is, and so does the command.
  const isPassword = attributes.type === "password";
  return { row: field(label, control, hint), value: () => (isPassword ? control.value : control.value.trim()) };
}

/**
 * @param {string} label
 * @param {{hint?: string, value?: string, [attribute: string]: unknown}} options the rest are attributes of the
 *   <textarea>
 * @returns {Field}
 */
export function longField(label, { hint, value = "", ...attributes } = {}) {
  const control = element("textarea", { rows: 4, ...attributes }, value);
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
 * Open a dialog; what closes it takes it off the page.
 *
 * @param {string} title
 * @param {(Node | string)[]} content
 */
export function open(title, ...content) {
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
 * @returns {Promise<Result | undefined>} undefined where somebody has thought better of it
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
    // An act that cannot be undone is not done by pressing Enter once too often.
    if (isDangerous && fields.length === 0) cancel.focus();
  });
}
