// The ways to share a channel: a sheet over the player, and the phone's own where there is one.

import { SERVER } from "./base.js";

/** Wire the sheet, if the page has one. */
export function wireSharing() {
  const sheet = document.querySelector("details.share");
  if (!(sheet instanceof HTMLDetailsElement)) return;
  const summary = sheet.querySelector("summary");
  const link = sheet.querySelector("input");
  // A server to which nobody has told its address does not know of a path at which a proxy has put it.
  if (sheet.dataset.guessed) {
    for (const field of sheet.querySelectorAll("input")) {
      field.value = field.value.replaceAll(`${sheet.dataset.guessed}/`, SERVER);
    }
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sheet.open) return;
    sheet.open = false;
    summary?.focus();
  });
  // A viewer who goes elsewhere, by pointer or by Tab, is done with it.
  const leave = ({ target }) => {
    if (!sheet.contains(target)) sheet.open = false;
  };
  document.addEventListener("pointerdown", leave);
  document.addEventListener("focusin", leave);
  // A phone has its own sheet, with the people and programs that its owner shares with.
  if (!matchMedia("(pointer: coarse)").matches || !navigator.share) return;
  summary?.addEventListener("click", (event) => {
    event.preventDefault();
    navigator.share({ title: document.title, url: link?.value }).catch((error) => {
      // Thought better of it; anything else means that this phone shares nothing by itself.
      if (error.name !== "AbortError") sheet.open = true;
    });
  });
}
