// The endless MP4 of one connection.

import { mediaOn } from "./base.js";
import { BACK_BUFFER_S, CATCH_UP_RATE_MAX, endOf } from "./playback.js";

// Of the pushed stream this much is kept ahead: a frame comes every 17 to 40 ms, and networks are late by some
// frames now and then.
const TARGET_S = 0.4;
// A network that is late by more has shown it by a stall. Each asks for as much more as media was late, no less than
// this, up to a limit from which on LL-HLS is the better way; what lasts longer than that no buffer of ours bridges.
const TARGET_STEP_S = 0.2;
const TARGET_MAX_S = 1.2;
const PACE_MS = 100;
// So far from the target, playback goes a little faster or slower until it is there.
const AHEAD_S = 0.25;
const SHORT_S = 0.2;
const SLOW_DOWN_RATE = 0.95;
// Further behind than this, the viewer went back, or has to jump: see the page.
const AT_LIVE_S = 2;
// The rest of a range of media, when there is only a gap behind it.
const GAP_S = 0.1;

function pushType(stream) {
  return `video/mp4; codecs="${stream.push_codecs}"`;
}

/**
 * The endless MP4, read from one connection into Media Source Extensions.
 *
 * A plain <video src> would play it too, but begins at the last keyframe, seconds back, and cannot seek.
 */
export class PushEngine {
  name = "mp4";
  isPush = true;
  isLowLatency = true;
  // No date comes with the media.
  ingestLatency = NaN;
  #video;
  #report;
  #source = new MediaSource();
  #connection = new AbortController();
  #paceTimer = 0;
  #target = TARGET_S;
  #hasStarted = false;
  #hasEnd = false;
  #arrivedAt = performance.now();
  #onEnded = () => this.#report("closed");
  #onError = () => this.#fail("media");
  #waitsSince = NaN;
  #onPlaying = () => {
    this.#hasStarted = true;
  };
  #onWaiting = () => {
    if (this.#hasStarted && !this.#video.seeking) this.#waitsSince = performance.now();
  };

  /** iPhones have no MediaSource, only one that the browser may pause; there LL-HLS is the browser's own. */
  static isSupported(stream) {
    return typeof MediaSource === "function" && MediaSource.isTypeSupported(pushType(stream));
  }

  constructor(video, report) {
    this.#video = video;
    this.#report = report;
  }

  load(stream) {
    this.#video.addEventListener("ended", this.#onEnded);
    this.#video.addEventListener("error", this.#onError);
    this.#video.addEventListener("playing", this.#onPlaying);
    this.#video.addEventListener("waiting", this.#onWaiting);
    const url = URL.createObjectURL(this.#source);
    this.#source.addEventListener(
      "sourceopen",
      () => {
        URL.revokeObjectURL(url);
        this.#follow(stream);
      },
      { once: true },
    );
    this.#video.src = url;
    this.#paceTimer = setInterval(() => this.#keepPace(), PACE_MS);
  }

  async #follow(stream) {
    const { signal } = this.#connection;
    let hasMedia = false;
    try {
      const buffer = this.#source.addSourceBuffer(pushType(stream));
      const answer = await fetch(mediaOn("live", stream.name, ".mp4"), { cache: "no-store", signal });
      if (!answer.ok) {
        this.#fail("network", answer.status);
        return;
      }
      if (!answer.body) throw new TypeError("an answer without a body");
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#learnHowLate();
        // The next read waits: a browser that cannot keep up is seen by the server as a slow reader.
        await this.#change(buffer, () => buffer.appendBuffer(value));
        await this.#forgetOld(buffer);
        hasMedia = buffer.buffered.length > 0;
        this.#arrivedAt = performance.now();
        // Media from the last keyframe on arrives in one burst; play from its end.
        if (!this.#hasStarted && hasMedia && !this.isPlaced) this.goLive();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError)) {
        this.#fail(error instanceof Error && error.name === "NotSupportedError" ? "format" : "media");
        return;
      }
      // The network's errors are TypeErrors. A connection that broke is one that has ended, unless it never began.
    }
    if (!hasMedia) {
      this.#fail("network");
    } else if (this.#source.readyState === "open") {
      this.#hasEnd = true;
      this.#source.endOfStream();
    }
  }

  /** Keep more in hand if playback waited for what arrives now; it goes on only when the browser has some in store. */
  #learnHowLate() {
    const lateS = (performance.now() - this.#waitsSince) / 1000;
    this.#waitsSince = NaN;
    if (Number.isNaN(lateS)) return;
    const step = lateS > TARGET_MAX_S ? TARGET_STEP_S : Math.max(TARGET_STEP_S, lateS);
    this.#target = Math.min(TARGET_MAX_S, this.#target + step);
  }

  /** Change the buffer, and wait until that is done. */
  #change(buffer, begin) {
    return new Promise((resolve, reject) => {
      buffer.onerror = () => reject(new DOMException("not the media that was promised", "DataError"));
      buffer.onupdateend = resolve;
      begin();
    });
  }

  async #forgetOld(buffer) {
    const until = this.#video.currentTime - BACK_BUFFER_S;
    // Not for each frame anew.
    if (buffer.buffered.length === 0 || buffer.buffered.start(0) > until - BACK_BUFFER_S / 3) return;
    await this.#change(buffer, () => buffer.remove(0, until));
  }

  #fail(reason, status = 0) {
    this.#report("failed", { reason, status });
  }

  #keepPace() {
    const video = this.#video;
    const ranges = video.buffered;
    if (ranges.length === 0 || this.#hasEnd) return;
    // Without it, all the time from zero on is called seekable.
    if (this.#source.readyState === "open") this.#source.setLiveSeekableRange(ranges.start(0), endOf(ranges));
    // The server left out what would have come too late.
    for (let next = 1; next < ranges.length; next += 1) {
      const gapAt = ranges.end(next - 1);
      if (video.currentTime < ranges.start(next) && video.currentTime > gapAt - GAP_S) this.goLive();
    }
    const excess = this.latency - this.#target;
    if (excess > AT_LIVE_S) video.playbackRate = 1;
    else if (excess > AHEAD_S) video.playbackRate = CATCH_UP_RATE_MAX;
    else if (excess < -SHORT_S) video.playbackRate = SLOW_DOWN_RATE;
    // Faster or slower until the target is met, not only until it is near.
    else if (video.playbackRate > 1 ? excess <= 0 : excess >= 0) video.playbackRate = 1;
  }

  /** Seconds behind what has arrived, or NaN. */
  get latency() {
    return endOf(this.#video.buffered) - this.#video.currentTime;
  }

  get isPlaced() {
    return this.latency < this.#target + AHEAD_S;
  }

  get isAtLive() {
    return !(this.latency > this.#target + AT_LIVE_S);
  }

  /** Milliseconds since anything arrived. */
  get quietMs() {
    return performance.now() - this.#arrivedAt;
  }

  /** The connection has its end; what follows on it is nothing. */
  get hasEnd() {
    return this.#hasEnd;
  }

  goLive() {
    const ranges = this.#video.buffered;
    if (ranges.length === 0) return;
    this.#video.currentTime = Math.max(ranges.start(ranges.length - 1), endOf(ranges) - this.#target);
  }

  pauseLoading() {
    this.#connection.abort();
  }

  /** A connection that was left is gone; the page makes a new one. */
  resumeLoading() {
    this.#report("closed");
  }

  destroy() {
    clearInterval(this.#paceTimer);
    this.#connection.abort();
    this.#video.removeEventListener("ended", this.#onEnded);
    this.#video.removeEventListener("error", this.#onError);
    this.#video.removeEventListener("playing", this.#onPlaying);
    this.#video.removeEventListener("waiting", this.#onWaiting);
    this.#video.playbackRate = 1;
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}
