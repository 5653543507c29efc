// The button that makes a clip of what the viewer has just seen, where viewers may make some.

import { on, TICKET_FIELDS } from "./base.js";
import { byId, element, setText } from "./dom.js";

const REQUEST_TIMEOUT_MS = 10_000;
/** The last seconds before a viewer reaches for the button. */
export const CLIP_S = 30;
const NOTHING = "No clip was made: press it again once it plays.";

/**
 * Wire the button.
 *
 * @param {() => object | null} asked the clip, as the API takes it; null where there is nothing to make one of
 */
export function wireClipButton(asked) {
  const seconds = Number(document.body.dataset.clips);
  if (!seconds) return;
  const button = byId("clip", HTMLButtonElement);
  const told = byId("clipped");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const clip = asked();
    setText(told, clip ? "" : NOTHING);
    if (!clip) return;
    button.disabled = true;
    try {
      const answer = await fetch(on("api/v1/clips"), {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json", ...TICKET_FIELDS },
        body: JSON.stringify(clip),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const said = await answer.json();
      if (answer.ok) {
        const address = on(`clip/${said.id}`);
        told.replaceChildren("Your clip: ", element("a", { href: address }, address));
      } else setText(told, `No clip was made: ${said.detail ?? said.title}.`);
    } catch {
      setText(told, "No clip was made: the server does not answer.");
    } finally {
      button.disabled = false;
    }
  });
}

/**
 * How long a clip may be, seconds.
 *
 * @returns {number}
 */
export function clipLength() {
  return Math.min(CLIP_S, Number(document.body.dataset.clips));
}
