// HLS by the browser itself.

import { endOf } from "./playback.js";

export class NativeEngine {
  name = "native";
  isLowLatency = false;
  #video;
  #report;
  #end = 0;
  #behind;
  #advancedAt = performance.now();
  #onEnded = () => this.#report("ended");
  #onError = () => this.#report("failed", { reason: "media", status: 0 });

  static isSupported(video) {
    return video.canPlayType("application/vnd.apple.mpegurl") !== "";
  }

  /**
   * @param behind seconds behind live at which to play the past; null for the live playlist
   */
  constructor(video, report, behind = null) {
    this.#behind = behind;
    this.#video = video;
    this.#report = report;
  }

  load(stream) {
    this.#video.addEventListener("ended", this.#onEnded);
    this.#video.addEventListener("error", this.#onError);
    if (this.isPast) {
      this.#video.addEventListener("loadedmetadata", () => this.seekTo(this.#behind), { once: true });
    }
    this.#video.src = this.isPast ? stream.past : stream.playlist;
  }

  /** It plays the past of the stream, at the viewer's place in it. */
  get isPast() {
    return this.#behind !== null;
  }

  /**
   * Play the past at another place.
   *
   * @param {number} behind seconds behind live
   */
  seekTo(behind) {
    this.#behind = behind;
    const end = endOf(this.#video.seekable);
    if (Number.isFinite(end)) this.#video.currentTime = Math.max(end - behind, 0);
  }

  // Chromium's has no seekable range while the stream is live, so there is nothing to measure by: NaN.
  get latency() {
    return endOf(this.#video.seekable) - this.#video.currentTime;
  }

  get ingestLatency() {
    // Safari's name for the date of the timeline's zero (HTML's getStartDate).
    const start = this.#video.getStartDate?.().getTime() ?? NaN;
    return (Date.now() - start) / 1000 - this.#video.currentTime;
  }

  get isAtLive() {
    // Players begin three target durations back, and the browser does not say how long those are.
    return !(this.latency > 20);
  }

  get quietMs() {
    const end = endOf(this.#video.buffered);
    if (end !== this.#end) {
      this.#end = end;
      this.#advancedAt = performance.now();
    }
    return performance.now() - this.#advancedAt;
  }

  get hasEnd() {
    return Number.isFinite(this.#video.duration);
  }

  goLive() {
    if (this.isPast) return;
    const end = endOf(this.#video.seekable);
    if (Number.isFinite(end)) {
      this.#video.currentTime = end;
    } else {
      // It cannot seek, but it begins where live is.
      this.#video.load();
      this.#video.play().catch(() => {});
    }
  }

  // The browser decides by itself what it loads.
  pauseLoading() {}

  resumeLoading() {
    if (!this.isPast) this.goLive();
  }

  destroy() {
    this.#video.removeEventListener("ended", this.#onEnded);
    this.#video.removeEventListener("error", this.#onError);
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}
