// The player's buttons, keys and pointer. It knows the <video> and the page's two hooks, not how media comes.

import { byId } from "./dom.js";
import { wireFrame } from "./player_frame.js";
import { keep, recall } from "./storage.js";

const SEEK_S = 5;
const VOLUME_STEP = 0.05;
const SOUND_SETTING = "streamd.sound";

/**
 * The volume, and whether there is to be none; null where the viewer has not said.
 *
 * @returns {{volume: number, muted: boolean | null}}
 */
function readSound() {
  try {
    const { volume, muted } = JSON.parse(recall("localStorage", SOUND_SETTING) ?? "null");
    return { volume: Math.min(1, Math.max(0, Number(volume))), muted: muted !== false };
  } catch {
    // Nothing kept yet.
    return { volume: 1, muted: null };
  }
}

/**
 * Whether the browser wants a gesture before it plays; AbortError would mean that another load came in between.
 *
 * @param {unknown} error
 */
function isRefused(error) {
  return error instanceof DOMException && error.name === "NotAllowedError";
}

/** @param {HTMLVideoElement} video */
function keepSound(video) {
  keep("localStorage", SOUND_SETTING, JSON.stringify({ volume: video.volume, muted: video.muted }));
}

/**
 * Wire the controls of the page.
 *
 * @param {HTMLElement} player goes full screen
 * @param {HTMLVideoElement} video
 * @param {{goLive(): void, goBack(position: number): void}} hooks jump to the live edge, and to a place behind it
 * @returns `start()`: begins to play as loudly as the browser and the viewer's last choice allow; `wantSound()`: from
 *   now on with sound, unless the viewer's last choice was none
 */
export function wireControls(player, video, hooks) {
  const volume = byId("volume", HTMLInputElement);
  const sound = readSound();
  video.volume = sound.volume;
  let hasUnmuted = false;

  const toggle = () => (video.paused ? play() : video.pause());

  async function play() {
    try {
      await video.play();
    } catch (error) {
      if (isRefused(error)) byId("start").hidden = false;
    }
  }

  async function start() {
    byId("start").hidden = true;
    video.muted = hasUnmuted ? video.muted : (sound.muted ?? true);
    if (!video.muted) {
      try {
        await video.play();
        return;
      } catch (error) {
        if (!isRefused(error)) return;
        // Sound without a gesture is refused; picture without sound mostly is not.
        video.muted = true;
      }
    }
    await play();
  }

  function setMuted(muted) {
    video.muted = muted;
    if (!muted) {
      hasUnmuted = true;
      if (video.volume === 0) video.volume = 0.5;
    }
    keepSound(video);
  }

  function setVolume(volume) {
    video.volume = Math.min(1, Math.max(0, volume));
    setMuted(video.volume === 0);
  }

  function seek(by) {
    const ranges = video.seekable;
    if (ranges.length === 0) return;
    const last = ranges.length - 1;
    const target = video.currentTime + by;
    if (target > ranges.end(last) - SEEK_S / 2) hooks.goLive();
    else hooks.goBack(Math.max(ranges.start(0), target));
  }

  const { toggleFullscreen, wake } = wireFrame(player, video);

  async function togglePip() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await video.requestPictureInPicture();
    } catch {
      // No picture yet, or the browser does not want to; the button may be tried again.
    }
  }

  // Captions are in the pictures, and there may be some at any time: their button comes with them.
  let wantsCaptions = false;
  const captionTracks = () => [...video.textTracks].filter(({ kind }) => kind === "captions" || kind === "subtitles");

  function showCaptions() {
    const tracks = captionTracks();
    const isShown = tracks.some(({ mode }) => mode === "showing");
    if (wantsCaptions && !isShown && tracks.length > 0) tracks[0].mode = "showing";
    const button = byId("captions");
    button.hidden = tracks.length === 0;
    button.setAttribute("aria-pressed", String(wantsCaptions));
  }

  function toggleCaptions() {
    if (captionTracks().length === 0) return;
    wantsCaptions = !wantsCaptions;
    // One that is hidden goes on to be filled.
    for (const track of captionTracks()) if (track.mode === "showing") track.mode = "hidden";
    showCaptions();
  }

  const keys = {
    " ": toggle,
    k: toggle,
    m: () => setMuted(!video.muted),
    f: toggleFullscreen,
    c: toggleCaptions,
    i: togglePip,
    l: hooks.goLive,
    ArrowLeft: () => seek(-SEEK_S),
    ArrowRight: () => seek(SEEK_S),
    ArrowUp: () => setVolume(video.volume + VOLUME_STEP),
    ArrowDown: () => setVolume(video.volume - VOLUME_STEP),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = keys[key];
    if (!action) return;
    const focused = event.target instanceof Element ? event.target : document.body;
    // An element with the focus keeps its own keys: text all, the slider its arrows, buttons and links the space bar.
    if (focused.matches("[type=text]")) return;
    if (focused.matches("input") && key.startsWith("Arrow")) return;
    if (focused.matches("button, a, summary") && key === " ") return;
    event.preventDefault();
    wake();
    action();
  });

  byId("play").addEventListener("click", toggle);
  byId("mute").addEventListener("click", () => setMuted(!video.muted));
  byId("unmute").addEventListener("click", () => setMuted(false));
  byId("start").addEventListener("click", () => {
    byId("start").hidden = true;
    play();
  });
  volume.addEventListener("input", () => setVolume(volume.valueAsNumber / 100));
  byId("live").addEventListener("click", () => {
    hooks.goLive();
    if (video.paused) play();
  });
  byId("captions").addEventListener("click", toggleCaptions);
  for (const name of ["addtrack", "removetrack"]) video.textTracks.addEventListener(name, showCaptions);
  byId("pip").hidden = !document.pictureInPictureEnabled;
  byId("pip").addEventListener("click", togglePip);

  function showSound() {
    player.dataset.muted = String(video.muted);
    byId("mute").setAttribute("aria-label", video.muted ? "Unmute" : "Mute");
    volume.value = String(video.muted ? 0 : Math.round(video.volume * 100));
    byId("unmute").hidden = !video.muted || hasUnmuted;
  }

  function showPlaying() {
    player.dataset.paused = String(video.paused);
    byId("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
    if (!video.paused) byId("start").hidden = true;
  }

  video.addEventListener("volumechange", showSound);
  video.addEventListener("play", showPlaying);
  video.addEventListener("pause", showPlaying);
  player.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") player.dataset.idle = "";
  });
  // A mouse toggles by clicking the picture; a finger only wants to see the controls.
  video.addEventListener("click", (event) => {
    if (event.pointerType === "mouse") toggle();
  });

  showSound();
  showPlaying();
  wake();
  function wantSound() {
    sound.muted ??= false;
  }

  return { start, wantSound };
}
