// HLS by hls.js, whose class is loaded when it is needed.

import { BACK_BUFFER_S, CATCH_UP_RATE_MAX } from "./playback.js";
import { chosenQuality } from "./quality.js";
import { qualityNames } from "./viewer_format.js";

// A decoder that needs more repairs than this in such a time will not be helped by another.
const MEDIA_REPAIRS_MAX = 2;
const MEDIA_REPAIRS_WINDOW_MS = 30_000;
// Loads that fail with no media between them, before the page builds a new player.
const LOAD_RETRIES_MAX = 3;
const LOAD_RETRY_MS = 1_000;

// The server has said how long the past is a moment ago: a place that is wrong by no more than this is kept.
const PAST_MOVED_S = 10;

// Lines of captions that are kept: some minutes of them, more than can be sought back to.
const CUES_MAX = 200;

// Whole segments in a playlist that has just begun, before the first is played: the next comes a target duration and a
// reload later, for which the short first one and another are not enough. Where segments are so long that three take
// longer than this, two are played.
const HELD_SEGMENTS = 3;
const HOLD_MS_MAX = 8_000;

const FORMAT_ERRORS = new Set([
  "manifestIncompatibleCodecsError",
  "bufferAddCodecError",
  "bufferIncompatibleCodecsError",
]);

/**
 * hls.js 1.7 forgets what of a caption has come with every part of a segment: it takes the next part for a jump. This
 * one goes on where a part follows the one before it.
 */
function continuousCaptions(TimelineController) {
  return class extends TimelineController {
    onFragLoading(event, data) {
      const { frag, part } = data;
      const follows = frag.cc === this.lastCc && frag.sn === this.lastSn && part?.index === this.lastPartIndex + 1;
      // The number that it compares with: the next segment follows, too.
      if (follows && frag.type === "main") this.lastSn = frag.sn - 1;
      super.onFragLoading(event, data);
    }
  };
}

/** hls.js on Media Source Extensions: with low latency where that is wanted and the playlist offers it. */
export class HlsEngine {
  name = "hls";
  #Hls;
  #hls;
  #video;
  #report;
  #lowLatencyMode;
  #mediaRepairs = [];
  #loadFailures = 0;
  #retryTimer = 0;
  #holdTimer = 0;
  #playlists;
  #advancedAt = performance.now();
  #hasEnd = false;
  #behind;
  #onEnded = () => this.#report("ended");

  /**
   * @param behind seconds behind live at which to play the past; null for the live playlist
   */
  constructor(Hls, lowLatencyMode, video, report, behind = null) {
    this.#behind = behind;
    this.#Hls = Hls;
    this.#lowLatencyMode = lowLatencyMode;
    this.#video = video;
    this.#report = report;
  }

  load(stream) {
    const { Events } = this.#Hls;
    // Without it the newest segments would be loaded first.
    const startPosition = this.isPast ? Math.max(stream.past_s - this.#behind, 0) : -1;
    this.#playlists = undefined;
    const hls = new this.#Hls({
      startPosition,
      lowLatencyMode: this.#lowLatencyMode,
      backBufferLength: BACK_BUFFER_S,
      maxLiveSyncPlaybackRate: this.isPast ? 1 : CATCH_UP_RATE_MAX,
      // hls.js 1.7 gives captions to tracks of its own with a picture that has a buffer to itself alone; with sound
      // and picture in one they never come.
      renderTextTracksNatively: false,
      timelineController: continuousCaptions(this.#Hls.DefaultConfig.timelineController),
    });
    this.#hls = hls;
    hls.on(Events.ERROR, (_, data) => this.#onError(data));
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.advanced) this.#advancedAt = performance.now();
      this.#hasEnd = !details.live;
      this.#onReports(stream, details);
    });
    hls.on(Events.FRAG_BUFFERED, () => {
      this.#loadFailures = 0;
    });
    hls.on(Events.MANIFEST_PARSED, () => {
      this.chooseQuality(chosenQuality());
      if (!this.isPast) this.#holdStart();
    });
    hls.on(Events.CUES_PARSED, (_, cues) => this.#addCaptions(cues));
    this.#video.addEventListener("ended", this.#onEnded);
    if (this.isPast) {
      hls.once(Events.LEVEL_UPDATED, (_, { details }) => {
        if (Math.abs(details.edge - this.#behind - startPosition) > PAST_MOVED_S) this.seekTo(this.#behind);
      });
    }
    hls.loadSource(this.isPast ? stream.past : stream.playlist);
    hls.attachMedia(this.#video);
  }

  /**
   * Load no media before there is enough to play on with. A broadcast of a second has one short segment: whoever played
   * that at once stood still until the next was complete. Parts come without such a pause.
   */
  #holdStart() {
    const { Events } = this.#Hls;
    const hls = this.#hls;
    let held = HELD_SEGMENTS;
    const look = (_, { details: { live, fragments, partTarget } }) => {
      const hasParts = this.#lowLatencyMode && partTarget;
      if (live && !hasParts && fragments.length < held) {
        // Each time: hls.js takes a start of loading for the end of a pause.
        hls.pauseBuffering();
        return;
      }
      hls.off(Events.LEVEL_UPDATED, look);
      hls.resumeBuffering();
    };
    hls.on(Events.LEVEL_UPDATED, look);
    clearTimeout(this.#holdTimer);
    this.#holdTimer = setTimeout(() => {
      held -= 1;
      const details = hls.latestLevelDetails;
      if (details) look(null, { details });
    }, HOLD_MS_MAX);
  }

  /**
   * Sound or picture has come late, or stopped: there are other playlists now than the multivariant playlist named when
   * it was read, and hls.js reads that once. A playlist reports on all others (EXT-X-RENDITION-REPORT).
   */
  #onReports(stream, { url, renditionReports = [] }) {
    const name = new URL(url).pathname.split("/").pop();
    const all = [name, ...renditionReports.map(({ URI }) => URI)].sort().join();
    const known = this.#playlists ?? all;
    this.#playlists = all;
    if (known !== all) this.#restart(stream);
  }

  async #restart(stream) {
    const hls = this.#hls;
    // The server answers when there is something to play in all of them; what is there now plays on until then.
    await fetch(this.isPast ? stream.past : stream.playlist).catch(() => {});
    if (this.#hls !== hls) return;
    const wasPlaying = !this.#video.paused;
    this.#video.removeEventListener("ended", this.#onEnded);
    if (this.isPast) this.#behind = this.latency || this.#behind;
    hls.destroy();
    this.load(stream);
    // The <video> gets a new source, and that pauses it.
    if (wasPlaying) this.#video.play().catch(() => {});
  }

  /** Captions that were in the pictures, CEA-608. A track that a <video> was given stays with it. */
  #addCaptions({ type, track: channel, cues }) {
    if (type !== "captions") return;
    const label = channel === "textTrack1" ? "Captions" : `Captions ${channel.replace(/\D/g, "")}`;
    const track =
      [...this.#video.textTracks].find((known) => known.label === label) ?? this.#video.addTextTrack("captions", label);
    if (track.mode === "disabled") track.mode = "hidden";
    for (const cue of cues) track.addCue(cue);
    while (track.cues.length > CUES_MAX) track.removeCue(track.cues[0]);
  }

  #onError(data) {
    const status = data.response?.code ?? 0;
    // Taken down: what is in the buffer is not to be played either.
    if (!data.fatal && status !== 410) return;
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
    const edge = this.#hls?.latestLevelDetails?.edge;
    if (edge !== undefined) this.#video.currentTime = Math.max(edge - behind, 0);
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

  /** The names of what there is to choose from, the best first. */
  get qualities() {
    const names = this.#names;
    return names
      .map((name, level) => ({ name, bitrate: this.#hls.levels[level].bitrate }))
      .sort((one, other) => other.bitrate - one.bitrate)
      .map(({ name }) => name);
  }

  /** The one that is loaded. */
  get quality() {
    return this.#names[this.#hls?.loadLevel ?? -1] ?? "";
  }

  /**
   * Load one quality and no other from here on.
   *
   * @param {string} name whatever the line carries, where there is none of this name
   */
  chooseQuality(name) {
    const level = this.#names.indexOf(name);
    if (!this.#hls || this.#hls.levels.length < 2) return;
    // Media of another quality in the buffer is replaced; before there is any, the first load is of this one.
    if (this.#video.buffered.length > 0) this.#hls.nextLevel = level;
    else this.#hls.loadLevel = level;
  }

  get #names() {
    return qualityNames(this.#hls?.levels ?? []);
  }

  goLive() {
    if (this.isPast) return;
    const position = this.#hls?.liveSyncPosition;
    if (position != null) this.#video.currentTime = position;
  }

  pauseLoading() {
    this.#hls?.stopLoad();
  }

  /** Load again, and play from the live edge once the playlist says where that is now. */
  resumeLoading() {
    if (this.isPast) {
      this.#hls?.startLoad(this.#video.currentTime);
      return;
    }
    this.#hls?.once(this.#Hls.Events.LEVEL_UPDATED, () => this.goLive());
    this.#hls?.startLoad(-1);
  }

  destroy() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#holdTimer);
    this.#video.removeEventListener("ended", this.#onEnded);
    this.#hls?.destroy();
    this.#hls = undefined;
  }
}
