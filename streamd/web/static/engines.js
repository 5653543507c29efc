// The ways to play a channel. An engine owns the <video> between load() and destroy() and reports through
// `report(kind, detail)`:
//   "ended"                         the playlist has its end and all of it was played
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

const FORMAT_ERRORS = new Set([
  "manifestIncompatibleCodecsError",
  "bufferAddCodecError",
  "bufferIncompatibleCodecsError",
]);

function endOf(ranges) {
  return ranges.length > 0 ? ranges.end(ranges.length - 1) : NaN;
}

/** hls.js on Media Source Extensions: low latency wherever the playlist offers it. */
export class HlsEngine {
  name = "hls";
  #Hls;
  #hls;
  #video;
  #report;
  #mediaRepairs = [];
  #loadFailures = 0;
  #retryTimer = 0;
  #restartTimer = 0;
  #tracks = "";
  #advancedAt = performance.now();
  #hasEnd = false;
  #onEnded = () => this.#report("ended");

  constructor(Hls, video, report) {
    this.#Hls = Hls;
    this.#video = video;
    this.#report = report;
  }

  load(url) {
    const { Events } = this.#Hls;
    this.#tracks = "";
    const hls = new this.#Hls({
      lowLatencyMode: true,
      backBufferLength: BACK_BUFFER_S,
      maxLiveSyncPlaybackRate: CATCH_UP_RATE_MAX,
    });
    this.#hls = hls;
    hls.on(Events.ERROR, (_, data) => this.#onError(data));
    hls.on(Events.BUFFER_CODECS, (_, tracks) => this.#onTracks(url, tracks));
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.advanced) this.#advancedAt = performance.now();
      this.#hasEnd = !details.live;
    });
    hls.on(Events.FRAG_BUFFERED, () => {
      this.#loadFailures = 0;
    });
    this.#video.addEventListener("ended", this.#onEnded);
    hls.loadSource(url);
    hls.attachMedia(this.#video);
  }

  /**
   * Sound or picture has come late, or stopped. Media Source Extensions make room for the tracks of the first
   * initialization segment and for no others later, and hls.js 1.7 gives up: what follows needs a new player.
   */
  #onTracks(url, tracks) {
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
      this.load(url);
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
    return Boolean(details?.canBlockReload && details.partTarget);
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
export class NativeEngine {
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

  load(url) {
    this.#video.addEventListener("ended", this.#onEnded);
    this.#video.addEventListener("error", this.#onError);
    this.#video.src = url;
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

/**
 * Choose how to play: hls.js where the browser has Media Source Extensions, for its low latency, and the
 * browser's own HLS elsewhere. `wanted` ("hls", "native" or null) narrows the choice.
 *
 * @returns a function from `report` to an engine, or null where this browser has no way to play.
 */
export async function chooseEngine(video, hlsModule, wanted) {
  if (hlsModule && wanted !== "native") {
    try {
      const { default: Hls } = await import(hlsModule);
      if (Hls.isSupported()) return (report) => new HlsEngine(Hls, video, report);
    } catch (error) {
      console.warn("hls.js did not load", error);
    }
  }
  if (wanted !== "hls" && NativeEngine.isSupported(video)) {
    return (report) => new NativeEngine(video, report);
  }
  return null;
}
