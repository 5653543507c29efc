// The box around a picture, live or recorded: its shape, full screen, and controls that leave.

import { byId } from "./dom.js";

const IDLE_MS = 3_000;

/**
 * Wire the box.
 *
 * @param {HTMLElement} player goes full screen
 * @param {HTMLVideoElement} video
 * @returns `toggleFullscreen()`, and `wake()`: shows the controls, until nobody has moved for a while
 */
export function wireFrame(player, video) {
  function toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (player.requestFullscreen) player.requestFullscreen();
    // iPhone knows full screen for a <video> alone.
    else video.webkitEnterFullscreen?.();
  }

  byId("fullscreen").addEventListener("click", toggleFullscreen);
  video.addEventListener("dblclick", toggleFullscreen);
  document.addEventListener("fullscreenchange", () => {
    const isFull = document.fullscreenElement !== null;
    player.dataset.full = String(isFull);
    byId("fullscreen").setAttribute("aria-label", isFull ? "Leave full screen" : "Full screen");
  });

  // A picture in portrait is not shown as a stripe in a landscape box.
  video.addEventListener("resize", () => {
    if (video.videoWidth > 0) player.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
  });

  // The controls leave when nobody moves; CSS keeps them while paused or under the keyboard's focus.
  let idleTimer = 0;
  function wake() {
    clearTimeout(idleTimer);
    delete player.dataset.idle;
    idleTimer = setTimeout(() => {
      player.dataset.idle = "";
    }, IDLE_MS);
  }
  for (const name of ["pointermove", "pointerdown", "focusin"]) player.addEventListener(name, wake);
  video.addEventListener("playing", wake);

  return { toggleFullscreen, wake };
}
