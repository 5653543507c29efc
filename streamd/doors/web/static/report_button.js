// The button by which a viewer reports what plays: a small dialog with the server's reasons, in their language, that
// opens the page for the report with the time that was playing. Without scripts the button leads to that page by itself.

import { on } from "./base.js";
import { element, setText } from "./dom.js";
import { reportAddress } from "./report_address.js";

const REQUEST_TIMEOUT_MS = 5_000;

/**
 * @typedef {{id: string, text: string}} Option
 * @typedef {{text: string, title: string, close: string, language: string, options: Option[]}} Menu
 */

/**
 * Wire the button, where there is one.
 *
 * @param {() => Date | null} playing when what is shown was taken; null where nothing plays
 */
export function wireReportButton(playing) {
  const button = document.getElementById("report");
  if (!(button instanceof HTMLAnchorElement)) return;
  const page = on(`report/${encodeURIComponent(button.dataset.name ?? "")}`);
  button.addEventListener("click", async (event) => {
    // A viewer who wants another tab or window gets it.
    if (event.ctrlKey || event.metaKey || event.shiftKey) {
      button.href = reportAddress(page, playing(), "");
      return;
    }
    event.preventDefault();
    // The time counts at which they reached for the button, and not the one at which they have chosen.
    const at = playing();
    const menu = await lookUpMenu();
    if (menu) open(menu, page, at, button);
    else location.assign(reportAddress(page, at, ""));
  });
}

/** @returns {Promise<Menu | null>} null where the server does not answer */
async function lookUpMenu() {
  try {
    const answer = await fetch(on("api/v1/report-options"), {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * @param {Menu} menu
 * @param {string} page
 * @param {Date | null} at
 * @param {HTMLElement} button gets the focus back
 */
function open(menu, page, at, button) {
  const title = element("h2", { id: "report-title" });
  setText(title, menu.text);
  const reasons = menu.options.map(({ id, text }) =>
    element(
      "li",
      {},
      element(
        "a",
        {
          href: reportAddress(page, at, id),
          target: "_blank",
          rel: "noopener",
          onclick: () => dialog.close(),
        },
        text,
      ),
    ),
  );
  const close = element("button", { type: "button", "aria-label": menu.close, onclick: () => dialog.close() }, "×");
  const dialog = element(
    "dialog",
    {
      class: "report-dialog",
      lang: menu.language,
      closedby: "any",
      "aria-labelledby": "report-title",
      onclose: () => {
        dialog.remove();
        button.focus();
      },
    },
    element("header", {}, title, close),
    element("ul", {}, ...reasons),
  );
  document.body.append(dialog);
  dialog.showModal();
}
