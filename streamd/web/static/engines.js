// The ways to play a channel. An engine owns the <video> between load() and destroy() and reports through
// `report(kind, detail)`:
//   "ended"                         the playlist has its end and all of it was played
//   "closed"                        the connection has its end and all of it was played; whether the broadcast
//                                   is over too, it does not know
//   "failed", {reason, status}      it stopped for good; reason is "network", "media" or "format", and
//                                   status the HTTP status behind it, where there is one
// What follows from that is the page's to decide.

// More of what was played than this is only memory: nobody can go back further than the window.
const BACK_BUFFER_S = 30;
// Too slow to be heard, fast enough to be back at the target latency within seconds of a stall.
const CATCH_UP_RATE_MAX = 1.1;
// A decoder that needs more repairs than this in such a time will not be helped by another.
const MEDIA_REPAIRS_MAX = 2;
const MEDIA_REPAIRS_WINDOW_MS = 30_000;
// Loads that fail with no media between them, before the page builds a new player.
const LOAD_RETRIES_MAX = 3;
const LOAD_RETRY_MS = 1_000;

// Of the pushed stream this much is kept ahead: a frame comes every 17 to 40 ms, and networks are late by some
// frames now and then.
const PUSH_TARGET_S = 0.4;
// A network that is late by more has shown it by a stall; each asks for so much more, up to a limit from which on
// LL-HLS is the better way.
const PUSH_TARGET_STEP_S = 0.2;
const PUSH_TARGET_MAX_S = 1.2;
const PUSH_PACE_MS = 100;
// So far from the target, playback goes a little faster or slower until it is there.
const PUSH_AHEAD_S = 0.25;
const PUSH_SHORT_S = 0.2;
const PUSH_SLOW_DOWN_RATE = 0.95;
// Further behind than this, the viewer went back, or has to jump: see the page.
const PUSH_AT_LIVE_S = 2;
// What is left of a range of media, when there is only a gap behind it.
const GAP_S = 0.1;

const FORMAT_ERRORS = new Set([
  "manifestIncompatibleCodecsError",
  "bufferAddCodecError",
  "bufferIncompatibleCodecsError",
]);

function endOf(ranges) {
  return ranges.length > 0 ? ranges.end(ranges.length - 1) : NaN;
}

/** hls.js on Media Source Extensions: with low latency where that is wanted and the playlist offers it. */
class HlsEngine {
  name = "hls";
  #Hls;
  #hls;
  #video;
  #report;
  #lowLatencyMode;
  #mediaRepairs = [];
  #loadFailures = 0;
  #retryTimer = 0;
  #restartTimer = 0;
  #tracks = "";
  #advancedAt = performance.now();
  #hasEnd = false;
  #onEnded = () => this.#report("ended");

  constructor(Hls, lowLatencyMode, video, report) {
    this.#Hls = Hls;
    this.#lowLatencyMode = lowLatencyMode;
    this.#video = video;
    this.#report = report;
  }

  load(stream) {
    const { Events } = this.#Hls;
    this.#tracks = "";
    const hls = new this.#Hls({
      lowLatencyMode: this.#lowLatencyMode,
      backBufferLength: BACK_BUFFER_S,
      maxLiveSyncPlaybackRate: CATCH_UP_RATE_MAX,
    });
    this.#hls = hls;
    hls.on(Events.ERROR, (_, data) => this.#onError(data));
    hls.on(Events.BUFFER_CODECS, (_, tracks) => this.#onTracks(stream, tracks));
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.advanced) this.#advancedAt = performance.now();
      this.#hasEnd = !details.live;
    });
    hls.on(Events.FRAG_BUFFERED, () => {
      this.#loadFailures = 0;
    });
    this.#video.addEventListener("ended", this.#onEnded);
    hls.loadSource(stream.playlist);
    hls.attachMedia(this.#video);
  }

  /**
   * Sound or picture has come late, or stopped. Media Source Extensions make room for the tracks of the first
   * initialization segment and for no others later, and hls.js 1.7 gives up: what follows needs a new player.
   */
  #onTracks(stream, tracks) {
    // An audio rendition comes and goes by itself.
    const names = Object.keys(tracks).filter((name) => tracks[name]?.id === "main");
    const known = this.#tracks;
    this.#tracks = names.join() || known;
    if (known === "" || known === this.#tracks) return;
    this.#hls.stopLoad();
    // What is buffered ends where the tracks change, and is played first.
    const leftS = endOf(this.#video.buffered) - this.#video.currentTime;
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = 0;
      const wasPlaying = !this.#video.paused;
      this.#video.removeEventListener("ended", this.#onEnded);
      this.#hls.destroy();
      this.load(stream);
      // The <video> gets a new source, and that pauses it.
      if (wasPlaying) this.#video.play().catch(() => {});
    }, 1000 * (leftS > 0 ? leftS : 0));
  }

  #onError(data) {
    const status = data.response?.code ?? 0;
    // Taken down: what is in the buffer is not to be played either.
    if (!data.fatal && status !== 410) return;
    if (this.#restartTimer) return;
    if (FORMAT_ERRORS.has(data.details)) {
      this.#report("failed", { reason: "format", status });
    } else if (data.type === "networkError") {
      // hls.js takes a refused connection (a server that restarts) for good and stops; ask again while the
      // buffer plays on. Without the multivariant playlist there is nothing to go on with, and a 4xx is
      // about the channel, not the way to it.
      this.#loadFailures += 1;
      if ((status >= 400 && status < 500) || this.#hls.levels.length === 0 || this.#loadFailures > LOAD_RETRIES_MAX) {
        this.#report("failed", { reason: "network", status });
      } else {
        this.#retryTimer = setTimeout(() => this.#hls.startLoad(), LOAD_RETRY_MS * this.#loadFailures);
      }
    } else if (data.type === "mediaError" && this.#mayRepair()) {
      const wasPlaying = !this.#video.paused;
      this.#hls.recoverMediaError();
      // The <video> gets a new source, and that pauses it.
      if (wasPlaying) this.#video.play().catch(() => {});
    } else {
      this.#report("failed", { reason: "media", status });
    }
  }

  #mayRepair() {
    const now = performance.now();
    this.#mediaRepairs = this.#mediaRepairs.filter((at) => now - at < MEDIA_REPAIRS_WINDOW_MS);
    return this.#mediaRepairs.push(now) <= MEDIA_REPAIRS_MAX;
  }

  /** Seconds behind the newest media that the server has, or NaN. */
  get latency() {
    return this.#hls?.latency || NaN;
  }

  /** Seconds from being ingested to being shown, where this clock and the server's agree; NaN without a date. */
  get ingestLatency() {
    const shown = this.#hls?.playingDate;
    return shown ? (Date.now() - shown.getTime()) / 1000 : NaN;
  }

  get isLowLatency() {
    const details = this.#hls?.latestLevelDetails;
    return Boolean(this.#lowLatencyMode && details?.canBlockReload && details.partTarget);
  }

  /** Playing as close to live as the playlist asks for. */
  get isAtLive() {
    const details = this.#hls?.latestLevelDetails;
    if (!details) return true;
    return this.latency < (this.#hls.targetLatency ?? 0) + details.targetduration;
  }

  /** Milliseconds since the playlist last gained media. */
  get quietMs() {
    return performance.now() - this.#advancedAt;
  }

  /** The playlist has its end: nothing more will come. */
  get hasEnd() {
    return this.#hasEnd;
  }

  goLive() {
    const position = this.#hls?.liveSyncPosition;
    if (position != null) this.#video.currentTime = position;
  }

  pauseLoading() {
    this.#hls?.stopLoad();
  }

  /** Load again, and play from the live edge once the playlist says where that is now. */
  resumeLoading() {
    this.#hls?.once(this.#Hls.Events.LEVEL_UPDATED, () => this.goLive());
    this.#hls?.startLoad(-1);
  }

  destroy() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#restartTimer);
    this.#video.removeEventListener("ended", this.#onEnded);
    this.#hls?.destroy();
    this.#hls = undefined;
  }
}

/** The browser's own HLS. */
class NativeEngine {
  name = "native";
  isLowLatency = false;
  #video;
  #report;
  #end = 0;
  #advancedAt = performance.now();
  #onEnded = () => this.#report("ended");
  #onError = () => this.#report("failed", { reason: "media", status: 0 });

  static isSupported(video) {
    return video.canPlayType("application/vnd.apple.mpegurl") !== "";
  }

  constructor(video, report) {
    this.#video = video;
    this.#report = report;
  }

  load(stream) {
    this.#video.addEventListener("ended", this.#onEnded);
    this.#video.addEventListener("error", this.#onError);
    this.#video.src = stream.playlist;
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
    this.goLive();
  }

  destroy() {
    this.#video.removeEventListener("ended", this.#onEnded);
    this.#video.removeEventListener("error", this.#onError);
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}

/** The media type of the endless MP4: it has the tracks of the first variant. */
function pushType(stream) {
  return `video/mp4; codecs="${stream.variants?.[0]?.codecs ?? ""}"`;
}

/**
 * The endless MP4, read from one connection into Media Source Extensions.
 *
 * A plain <video src> would play it too, but begins at the last keyframe, seconds back, and cannot seek.
 */
class PushEngine {
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
  #target = PUSH_TARGET_S;
  #hasStarted = false;
  #hasEnd = false;
  #arrivedAt = performance.now();
  #onEnded = () => this.#report("closed");
  #onError = () => this.#fail("media");
  #onPlaying = () => {
    this.#hasStarted = true;
  };
  #onWaiting = () => {
    if (!this.#hasStarted || this.#video.seeking) return;
    this.#target = Math.min(PUSH_TARGET_MAX_S, this.#target + PUSH_TARGET_STEP_S);
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
    this.#paceTimer = setInterval(() => this.#keepPace(), PUSH_PACE_MS);
  }

  async #follow(stream) {
    const { signal } = this.#connection;
    let hasMedia = false;
    try {
      const buffer = this.#source.addSourceBuffer(pushType(stream));
      const answer = await fetch(`/live/${encodeURIComponent(stream.name)}.mp4`, { cache: "no-store", signal });
      if (!answer.ok) {
        this.#fail("network", answer.status);
        return;
      }
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        // The next read waits: a browser that cannot keep up is seen by the server as a slow reader.
        await this.#change(buffer, () => buffer.appendBuffer(value));
        await this.#forgetOld(buffer);
        hasMedia = buffer.buffered.length > 0;
        this.#arrivedAt = performance.now();
        // What begins at the last keyframe arrives in one burst; play from its end.
        if (!this.#hasStarted && hasMedia && !this.isPlaced) this.goLive();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError)) {
        this.#fail(error.name === "NotSupportedError" ? "format" : "media");
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
    if (excess > PUSH_AT_LIVE_S) video.playbackRate = 1;
    else if (excess > PUSH_AHEAD_S) video.playbackRate = CATCH_UP_RATE_MAX;
    else if (excess < -PUSH_SHORT_S) video.playbackRate = PUSH_SLOW_DOWN_RATE;
    // Faster or slower until the target is met, not only until it is near.
    else if (video.playbackRate > 1 ? excess <= 0 : excess >= 0) video.playbackRate = 1;
  }

  /** Seconds behind what has arrived, or NaN. */
  get latency() {
    return endOf(this.#video.buffered) - this.#video.currentTime;
  }

  get isPlaced() {
    return this.latency < this.#target + PUSH_AHEAD_S;
  }

  get isAtLive() {
    return !(this.latency > this.#target + PUSH_AT_LIVE_S);
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

/**
 * Find the ways in which this browser plays: hls.js where it has Media Source Extensions, for its low latency, and
 * the browser's own HLS elsewhere; the endless MP4 beside them. `wanted` ("hls", "native" or null) narrows it to one.
 *
 * @returns a function that takes a stream and gives a Map from each mode that plays it ("lowest", "low", "stable") to
 *   a function from `report` to an engine.
 */
export async function findModes(video, hlsModule, wanted) {
  const Hls = wanted !== "native" && hlsModule ? await importHls(hlsModule) : null;
  const hasNative = !Hls && wanted !== "hls" && NativeEngine.isSupported(video);
  return (stream) => {
    const modes = new Map();
    if (!wanted && PushEngine.isSupported(stream)) modes.set("lowest", (report) => new PushEngine(video, report));
    if (Hls) {
      modes.set("low", (report) => new HlsEngine(Hls, true, video, report));
      modes.set("stable", (report) => new HlsEngine(Hls, false, video, report));
    } else if (hasNative) {
      // How far behind it plays is the browser's own choice.
      modes.set("low", (report) => new NativeEngine(video, report));
    }
    return modes;
  };
}

async function importHls(module) {
  try {
    const { default: Hls } = await import(module);
    return Hls.isSupported() ? Hls : null;
  } catch (error) {
    console.warn("hls.js did not load", error);
    return null;
  }
}
