// The controls of a recording: a bar with pictures to seek on, the speed, and what every player has.

import { byId, setText } from "./dom.js";
import { wireFrame } from "./player_frame.js";
import { keep, recall } from "./storage.js";
import { clockTime, pictureAt, readCue } from "./storyboard.js";

const SEEK_S = 5;
const SPEED_SETTING = "streamd.speed";

/**
 * How far can be sought, seconds; what goes on to be recorded has no duration in some browsers.
 *
 * @param {HTMLVideoElement} video
 */
function lengthOf(video) {
  const { duration, seekable } = video;
  if (Number.isFinite(duration)) return duration;
  return seekable.length > 0 ? seekable.end(seekable.length - 1) : 0;
}

/**
 * Wire the controls of the page.
 *
 * @param {HTMLElement} player goes full screen
 * @param {HTMLVideoElement} video
 * @returns `showStoryboard(address)`: from now on the bar shows the pictures of this WebVTT file
 */
export function wireRecordedControls(player, video) {
  const seek = byId("seek", HTMLInputElement);
  const volume = byId("volume", HTMLInputElement);
  const speed = byId("speed", HTMLSelectElement);
  const preview = byId("preview");
  const picture = byId("preview-picture");
  /** @type {import("./storyboard.js").Picture[]} */
  let pictures = [];

  const toggle = () => (video.paused ? video.play().catch(() => {}) : video.pause());

  /** @param {number} seconds */
  function seekTo(seconds) {
    video.currentTime = Math.min(Math.max(0, seconds), lengthOf(video));
    showTime();
  }

  const { toggleFullscreen, wake } = wireFrame(player, video);

  /**
   * Show the picture of a time above its place on the bar.
   *
   * @param {number} seconds
   */
  function showPreview(seconds) {
    const length = lengthOf(video);
    const found = pictureAt(pictures, seconds);
    picture.hidden = found === null;
    if (found) {
      picture.style.width = `${found.width}px`;
      picture.style.height = `${found.height}px`;
      picture.style.backgroundImage = `url("${found.image}")`;
      picture.style.backgroundPosition = `-${found.x}px -${found.y}px`;
    }
    setText(byId("preview-time"), clockTime(seconds));
    preview.hidden = length === 0;
    // It stays inside of the player.
    const half = preview.offsetWidth / 2;
    const at = (seconds / (length || 1)) * seek.clientWidth;
    preview.style.left = `${Math.min(Math.max(at, half), Math.max(half, seek.clientWidth - half))}px`;
  }

  function hidePreview() {
    preview.hidden = true;
  }

  /** @param {PointerEvent} event */
  function point(event) {
    const box = seek.getBoundingClientRect();
    const share = Math.min(Math.max(0, (event.clientX - box.left) / (box.width || 1)), 1);
    showPreview(share * lengthOf(video));
  }

  function showTime() {
    const length = lengthOf(video);
    seek.max = String(Math.ceil(length));
    seek.value = String(video.currentTime);
    const told = `${clockTime(video.currentTime)} / ${clockTime(length)}`;
    setText(byId("time"), told);
    seek.setAttribute("aria-valuetext", told.replace("/", "of"));
  }

  function showPlaying() {
    player.dataset.paused = String(video.paused);
    byId("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  }

  function showSound() {
    player.dataset.muted = String(video.muted);
    byId("mute").setAttribute("aria-label", video.muted ? "Unmute" : "Mute");
    volume.value = String(video.muted ? 0 : Math.round(video.volume * 100));
  }

  const toggleMuted = () => {
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 0.5;
  };

  seek.addEventListener("input", () => {
    seekTo(seek.valueAsNumber);
    showPreview(seek.valueAsNumber);
  });
  seek.addEventListener("pointermove", point);
  seek.addEventListener("pointerleave", hidePreview);
  seek.addEventListener("blur", hidePreview);
  byId("play").addEventListener("click", toggle);
  byId("mute").addEventListener("click", toggleMuted);
  volume.addEventListener("input", () => {
    video.volume = volume.valueAsNumber / 100;
    video.muted = video.volume === 0;
  });
  speed.addEventListener("change", () => {
    video.playbackRate = video.defaultPlaybackRate = Number(speed.value);
    keep("sessionStorage", SPEED_SETTING, speed.value);
  });

  const keys = {
    " ": toggle,
    k: toggle,
    m: toggleMuted,
    f: toggleFullscreen,
    ArrowLeft: () => seekTo(video.currentTime - SEEK_S),
    ArrowRight: () => seekTo(video.currentTime + SEEK_S),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const focused = event.target instanceof Element ? event.target : document.body;
    // An element with the focus keeps its own keys: sliders and speeds theirs, buttons and links the space bar.
    if (!action || focused.matches("input, select") || (focused.matches("button, a") && event.key === " ")) return;
    event.preventDefault();
    wake();
    action();
  });

  for (const name of ["timeupdate", "durationchange", "progress", "seeked"]) video.addEventListener(name, showTime);
  for (const name of ["play", "pause"]) video.addEventListener(name, showPlaying);
  video.addEventListener("volumechange", showSound);
  video.addEventListener("click", (event) => {
    if (/** @type {PointerEvent} */ (event).pointerType === "mouse") toggle();
  });
  const kept = recall("sessionStorage", SPEED_SETTING);
  if ([...speed.options].some(({ value }) => value === kept)) {
    speed.value = /** @type {string} */ (kept);
    video.playbackRate = video.defaultPlaybackRate = Number(kept);
  }
  showTime();
  showPlaying();
  showSound();
  wake();

  /** @param {string} address */
  function showStoryboard(address) {
    const track = document.createElement("track");
    track.kind = "metadata";
    track.src = address;
    track.addEventListener("load", () => {
      const cues = /** @type {VTTCue[]} */ ([...(track.track.cues ?? [])]);
      pictures = cues.map((cue) => readCue(cue, track.src)).filter((each) => each !== null);
    });
    video.append(track);
    // The browser reads it, and shows nothing of it.
    track.track.mode = "hidden";
  }

  return { showStoryboard };
}
