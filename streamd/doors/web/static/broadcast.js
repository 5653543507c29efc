// One broadcast in one mode, from its load to whatever ends it: the engine's word, the server's, or standing still.

import { lookUp } from "./api.js";
import { LOOKS, MESSAGES } from "./page_state.js";
import { BehindWatch, STALL_ASK_MS, StallCount, StallWatch } from "./progress.js";
import { hasPicture } from "./viewer_format.js";

// While it plays: for the viewers' number, and to learn of an end that the playlist did not tell.
const PLAYING_POLL_MS = 15_000;
const TICK_MS = 500;
// A part that arrived so lately shows that the broadcaster is there.
const ARRIVED_MS = 1_500;
// A picture that has a format the browser does not know stays away while the sound plays.
const PICTURE_LATE_MS = 3_000;
// A viewer who pauses this long comes back to the live edge; meanwhile nothing is loaded.
const PAUSE_STOPS_LOADING_MS = 30_000;

const WAITING = "Waiting for the broadcaster…";
const LOST = "Connection lost. Trying again…";

const { body } = document;

/** @typedef {import("./aftermath.js").Outcome} Outcome */

/** Plays one broadcast in one mode. */
export class Broadcast {
  #page;
  #video;
  #player;
  #menu;
  #pastBar;
  #stream;
  /** As it began: a picture that comes later asks for a new player (hls_engine.js). */
  #hasPicture;
  #engine;
  #listeners = new AbortController();
  /** @type {ReturnType<typeof setTimeout>[]} */
  #timers = [];
  /** @type {(end: Pick<Outcome, "kind" | "reason">) => void} */
  #resolve = () => {};
  /** @type {Promise<Pick<Outcome, "kind" | "reason">>} */
  #done = new Promise((resolve) => {
    this.#resolve = resolve;
  });
  #stall;
  #behind;
  #pushStalls = new StallCount();
  #playedSince = 0;
  #wantsLive = true;
  #isAsking = false;
  #liveAt = Number.NEGATIVE_INFINITY;
  /** Why nothing comes, as far as the server has said: "" while something does. */
  #standing = "";
  #pauseTimer = 0;
  #hasStoppedLoading = false;

  /**
   * @param {object} around
   * @param {import("./watch_page.js").WatchPage} around.page
   * @param {HTMLVideoElement} around.video
   * @param {HTMLElement} around.player
   * @param {import("./modes.js").ModeMenu} around.menu
   * @param {import("./past_bar.js").PastBar} around.pastBar
   * @param {LiveChannel} stream
   * @param {MakeEngine} makeEngine
   */
  constructor({ page, video, player, menu, pastBar }, stream, makeEngine) {
    this.#page = page;
    this.#video = video;
    this.#player = player;
    this.#menu = menu;
    this.#stream = stream;
    this.#hasPicture = hasPicture(stream);
    this.#pastBar = pastBar;
    this.#engine = makeEngine((kind, failure) => {
      if (kind !== "failed") this.#end(kind);
      else if (failure?.status === 410) this.#end("gone");
      else this.#end("failed", failure?.reason);
    });
    // A viewer in the past wants to be behind.
    this.#wantsLive = !this.#engine.isPast;
    const now = performance.now();
    this.#stall = new StallWatch(now, video.currentTime);
    this.#behind = new BehindWatch(now);
  }

  /**
   * @param {() => void} start begins to play, as the browser and the viewer allow
   * @returns {Promise<Outcome>}
   */
  async play(start) {
    body.dataset.engine = this.#engine.name;
    // From one mode to another the controls stay.
    if (this.#page.isPlaying) body.dataset.buffering = "";
    this.#timers.push(
      setInterval(() => document.hidden || this.#ask(), PLAYING_POLL_MS),
      setInterval(() => this.#tick(), TICK_MS),
    );
    this.#on("playing", () => this.#onPlaying());
    this.#on("waiting", () => this.#onWaiting());
    this.#on("pause", () => this.#onPause());
    this.#on("play", () => this.#onPlay());
    this.#on("resize", () => this.#hasPlayed && this.#page.showFacts(this.#stream, this.#video));
    this.#engine.load(this.#stream);
    start();
    const outcome = await this.#done;
    for (const timer of [...this.#timers, this.#pauseTimer]) clearTimeout(timer);
    this.#listeners.abort();
    this.#engine.destroy();
    delete body.dataset.buffering;
    this.#page.hint("");
    return {
      ...outcome,
      isAwaited: this.#standing === WAITING,
      playedMs: this.#playedSince && performance.now() - this.#playedSince,
    };
  }

  /** The viewer wants another mode. */
  change() {
    this.#end("changed");
  }

  /** @param {string} name as of the engine's qualities */
  chooseQuality(name) {
    this.#engine.chooseQuality?.(name);
  }

  goLive() {
    this.#wantsLive = true;
    this.#engine.goLive();
  }

  /**
   * Play the past at a place, where it is the past that plays.
   *
   * @param {number | null} behind seconds behind live; null for live
   * @returns {boolean} whether it does
   */
  seekPast(behind) {
    if (behind === null || !this.#engine.isPast) return false;
    this.#engine.seekTo?.(behind);
    return true;
  }

  /** The viewer has gone back: being behind is what is wanted. */
  leaveLive() {
    this.#wantsLive = false;
  }

  /**
   * @param {string} standing
   */
  #stand(standing) {
    if (standing === this.#standing) return;
    this.#standing = standing;
    const badge = { [WAITING]: "Waiting", [LOST]: "Reconnecting" }[standing];
    this.#page.badge(badge ?? LOOKS.playing.badge);
    this.#page.hint(standing);
  }

  /**
   * @param {Outcome["kind"]} kind
   * @param {Outcome["reason"]} reason
   */
  #end(kind, reason = "") {
    this.#resolve({ kind, reason });
  }

  /**
   * @param {string} name
   * @param {() => void} listener
   */
  #on(name, listener) {
    this.#video.addEventListener(name, listener, { signal: this.#listeners.signal });
  }

  get #hasPlayed() {
    return this.#playedSince > 0;
  }

  /** The server's word while it plays. */
  async #ask() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const found = await lookUp(this.#page.channel);
    this.#isAsking = false;
    if (this.#listeners.signal.aborted) return;
    if (found.kind === "live") {
      this.#liveAt = performance.now();
      if (found.stream.live_since !== this.#stream.live_since) this.#end("failed", "network");
      else if (this.#page.isPlaying) this.#showLive(found.stream);
    } else if (found.kind === "unreachable") {
      if (this.#isStarved) this.#stand(LOST);
    } else if (found.kind === "gone") {
      this.#end("gone");
    } else if (found.kind === "locked") {
      // The browser's own player does not say that it was refused.
      this.#end("failed", "network");
    } else if (found.kind === "offline" && this.#stall.stalledMs(performance.now()) > STALL_ASK_MS) {
      // Off the list, with the last seconds still to play, the engine would say when they are over.
      this.#end("ended");
    }
  }

  /** @param {LiveChannel} stream */
  #showLive(stream) {
    this.#stream = stream;
    this.#pastBar.offer(stream);
    this.#page.showFacts(stream, this.#video);
    if (this.#isStarved && stream.state === "waiting") this.#stand(WAITING);
    else if (this.#standing === LOST) this.#stand("");
  }

  /** Nothing has come lately, or nothing plays. */
  get #isStarved() {
    return (
      this.#hasPlayed && (this.#engine.quietMs > ARRIVED_MS || this.#stall.stalledMs(performance.now()) > ARRIVED_MS)
    );
  }

  /** The sound plays, and there should be a picture. */
  get #isBlack() {
    if (!this.#hasPlayed || this.#video.videoWidth > 0 || !this.#hasPicture) return false;
    // An engine that has begun anew has nothing to show yet.
    if (this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return false;
    return (
      performance.now() - this.#playedSince > PICTURE_LATE_MS && this.#stall.stalledMs(performance.now()) < TICK_MS
    );
  }

  #tick() {
    const now = performance.now();
    const engine = this.#engine;
    const isPaused = this.#video.paused;
    this.#publish();
    const mayBeBehind = !this.#hasPlayed || engine.isAtLive || isPaused || !this.#wantsLive;
    if (this.#behind.look(now, mayBeBehind, engine.quietMs)) engine.goLive();
    const steps = this.#stall.look({
      now,
      position: this.#video.currentTime,
      hasPlayed: this.#hasPlayed,
      isPaused,
      needsGesture: this.#page.needsGesture,
      liveAt: this.#liveAt,
      engine,
    });
    if (this.#standing && !this.#isStarved) this.#stand("");
    if (this.#isBlack) this.#end("failed", "format");
    for (const step of steps) {
      if (step === "finish") this.#end(engine.isPush ? "closed" : "ended");
      else if (step === "ask") this.#ask();
      else if (step === "rebuild") this.#end("failed", "media");
      else this.#stand(WAITING);
    }
  }

  /** Show the measurements, in the attributes that watch.js lists. */
  #publish() {
    const { latency, ingestLatency, isLowLatency, isAtLive } = this.#engine;
    /** @type {(name: string, seconds: number) => void} */
    const put = (name, seconds) => {
      if (Number.isFinite(seconds)) body.dataset[name] = String(Math.round(seconds * 1000));
      else delete body.dataset[name];
    };
    put("latencyMs", latency);
    put("ingestLatencyMs", ingestLatency);
    body.dataset.lowLatency = String(isLowLatency);
    this.#player.dataset.atLive = String(isAtLive && !this.#engine.isPast && !this.#video.paused);
    if (this.#engine.isPast && !this.#video.seeking) this.#pastBar.follow(latency);
    this.#menu.showLatency(this.#engine.isPast ? NaN : latency);
    this.#menu.showQualities(this.#engine.qualities ?? [], this.#engine.quality ?? "");
  }

  #onPlaying() {
    delete body.dataset.buffering;
    this.#stand("");
    if (this.#hasPlayed) return;
    this.#playedSince = performance.now();
    body.dataset.firstFrameMs ??= String(Math.round(this.#playedSince));
    body.dataset.stalls ??= "0";
    this.#page.show(MESSAGES.playing);
    this.#page.showFacts(this.#stream, this.#video);
  }

  #onWaiting() {
    if (!this.#hasPlayed) return;
    body.dataset.buffering = "";
    // A seek has to wait too; that is no stall.
    if (this.#video.seeking) return;
    body.dataset.stalls = String(Number(body.dataset.stalls) + 1);
    if (!this.#engine.isPush || this.#engine.hasEnd) return;
    if (this.#pushStalls.add(performance.now())) this.#end("failed", "media");
  }

  #onPause() {
    this.#wantsLive = false;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => {
      this.#hasStoppedLoading = true;
      this.#engine.pauseLoading();
    }, PAUSE_STOPS_LOADING_MS);
  }

  #onPlay() {
    clearTimeout(this.#pauseTimer);
    if (!this.#hasStoppedLoading) return;
    this.#hasStoppedLoading = false;
    this.#wantsLive = !this.#engine.isPast;
    this.#engine.resumeLoading();
  }
}
