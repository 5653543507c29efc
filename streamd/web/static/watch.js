// The watch page and the player in other sites' pages: waits for the channel, plays it, and tells the viewer how things
// stand.
//
// <body data-state>: connecting | offline | ready | playing | ended | gone | error; "ready" where <body data-start> is
// "asked", which means to load no media before the viewer wants it. What the page measures is in
// further data attributes of <body>, for tests and for whoever is asked "what does it say?":
//   data-mode             lowest | low | stable
//   data-engine           mp4 | hls | native
//   data-first-frame-ms   from navigation to the first frame
//   data-latency-ms       behind the newest media of the playlist, or the newest that was pushed
//   data-ingest-latency-ms  from being ingested to being shown, if the clocks agree
//   data-stalls           times that playback had to wait since the first frame
//   data-buffering        present while it waits

import { Backoff, elapsed, lookUp, quality, watching } from "./api.js";
import { wireControls } from "./controls.js";
import { findModes } from "./engines.js";
import { ModeMenu } from "./modes.js";
import { wireCopying } from "./share.js";

// How often a waiting page asks. A thousand viewers who wait are about 70 small requests a second.
const OFFLINE_POLL_MS = 2_000;
const OFFLINE_POLL_MAX_MS = 15_000;
// A takedown may be lifted, but not from one second to the next.
const GONE_POLL_MS = 30_000;
// While it plays: for the viewers' number, and to learn of an end that the playlist did not tell.
const PLAYING_POLL_MS = 15_000;
// The API may call a broadcast live for a moment after its playlist has ended.
const SAME_BROADCAST_MS = 30_000;
// Playback stands still: ask the server after the first, build the player anew after the second, but only if
// there is media to play. Where the playlist stands still too, the broadcaster is being waited for.
const STALL_ASK_MS = 4_000;
const STALL_REBUILD_MS = 10_000;
const PLAYLIST_QUIET_MS = 5_000;
// A stall leaves the viewer behind, further than playing a little faster brings back: jump after this long.
const BEHIND_MS = 3_000;
// A pushed stream that stalls so often in such a time, or whose connection lasts no longer than this, is given up for
// LL-HLS, which has more in hand.
const PUSH_STALLS_MAX = 3;
const PUSH_STALLS_WINDOW_MS = 30_000;
const PUSH_LASTS_MS = 5_000;
// Longer than a broadcaster may take to come back, unless the operator has set more.
const PUSH_QUIET_MS = 40_000;
// Failures in a row before the page stops trying by itself every few seconds; a minute of play clears them.
const FAILURES_MAX = 6;
const FAILURE_WAIT_MS = 1_000;
const FAILURE_WAIT_MAX_MS = 8_000;
const FAILURES_CLEARED_MS = 60_000;
const ERROR_WAIT_MS = 60_000;
// Who pauses this long comes back to the live edge; meanwhile nothing is loaded.
const PAUSE_STOPS_LOADING_MS = 30_000;

const body = document.body;
const channel = body.dataset.channel;
const video = document.getElementById("video");
const player = document.getElementById("player");
const startButton = document.getElementById("start");
const retryButton = document.getElementById("retry");

let engine = null;
let retryNow = () => {};
// Until the viewer pauses or goes back: then being behind is what is wanted.
let wantsLive = true;
let changeMode = () => {};

const menu = new ModeMenu(() => changeMode());

const controls = wireControls(player, video, {
  goLive() {
    wantsLive = true;
    engine?.goLive();
  },
  goBack(position) {
    wantsLive = false;
    video.currentTime = position;
  },
});

function setText(id, text) {
  const target = document.getElementById(id);
  // Live regions speak on every change of their text.
  if (target.textContent !== text) target.textContent = text;
}

function show(state, title = "", detail = "") {
  body.dataset.state = state;
  setText("notice-title", title);
  setText("notice-detail", detail);
  retryButton.hidden = state !== "error";
  if (state !== "playing") startButton.hidden = true;
  setText("badge", { ready: "Live", playing: "Live", connecting: "Connecting", ended: "Ended" }[state] ?? "Offline");
  document.title = `${state === "playing" ? "● " : ""}${channel} – streamd`;
  if (state !== "playing") showFacts(null);
}

let liveSince = "";

function showFacts(stream) {
  // Who reads this is one, also where the server has not counted yet.
  const viewersMin = body.dataset.state === "playing" ? 1 : 0;
  setText("viewers", stream ? watching(Math.max(stream.viewers, viewersMin)) : "");
  setText("quality", stream ? quality(stream) : "");
  liveSince = stream ? stream.live_since : "";
  showElapsed();
}

/** The clock goes on between two questions to the server. */
function showElapsed() {
  const since = liveSince && elapsed(liveSince);
  setText("since", since && `live for ${since}`);
}

/** Wait; the "Try again" button and, for a page that nobody saw, being looked at cut it short. */
function sleep(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(wake, ms);
    function wake() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
      resolve();
    }
    function onVisible() {
      if (!document.hidden) wake();
    }
    document.addEventListener("visibilitychange", onVisible);
    retryNow = wake;
  });
}

retryButton.addEventListener("click", () => {
  show("connecting", "Connecting…");
  retryNow();
});

/**
 * Wait until the channel is live and say meanwhile how it is.
 *
 * @param finished `live_since` of a broadcast that this page has seen end, or null
 * @param hasWatched a broadcast was on this page until now, so "offline" means that it has ended
 */
async function untilLive(finished, hasWatched) {
  const wait = new Backoff(OFFLINE_POLL_MS, OFFLINE_POLL_MAX_MS);
  const believeAgainAt = performance.now() + SAME_BROADCAST_MS;
  let unanswered = 0;
  for (;;) {
    const found = await lookUp(channel);
    unanswered = found.kind === "unreachable" ? unanswered + 1 : 0;
    if (found.kind === "live") {
      if (found.stream.live_since !== finished || performance.now() > believeAgainAt) return found.stream;
    } else if (found.kind === "gone") {
      show("gone", "This channel has been taken down", "It cannot be watched any more.");
      await sleep(GONE_POLL_MS);
      continue;
    } else if (found.kind === "offline") {
      if (hasWatched) {
        show("ended", "The stream has ended", "Stay here: the next one starts by itself.");
      } else {
        show("offline", `${channel} is offline`, "The stream starts here by itself as soon as it goes live.");
      }
    } else if (body.dataset.state === "playing") {
      show("connecting", "Connection lost", "Trying again…");
    } else if (unanswered >= 3) {
      show("error", "The server does not answer", "Check your network. This page goes on trying by itself.");
    }
    await sleep(wait.next());
  }
}

/**
 * Play one broadcast in one mode until it is over.
 *
 * @returns `{kind: "ended" | "gone" | "failed" | "closed" | "changed", reason, playedMs}`; after "closed" (only the
 *   connection has ended) and "changed" (another mode is wanted) the same broadcast may go on
 */
async function play(stream, makeEngine) {
  let playedSince = 0;
  const timers = [];
  const listeners = new AbortController();
  const on = (target, name, listener) => target.addEventListener(name, listener, { signal: listeners.signal });

  const outcome = await new Promise((resolve) => {
    const over = (kind, reason = "") => resolve({ kind, reason });

    engine = makeEngine((kind, detail) => {
      if (kind !== "failed") over(kind);
      else if (detail.status === 410) over("gone");
      else over("failed", detail.reason);
    });
    body.dataset.engine = engine.name;
    changeMode = () => over("changed");
    // From one mode to another the controls stay.
    if (body.dataset.state === "playing") body.dataset.buffering = "";

    // What the server says while it plays.
    let asking = false;
    let liveAt = -Infinity;
    async function ask() {
      if (asking) return;
      asking = true;
      const found = await lookUp(channel);
      asking = false;
      if (found.kind === "live") liveAt = performance.now();
      if (found.kind === "gone") over("gone");
      else if (found.kind === "live" && found.stream.live_since !== stream.live_since) over("failed", "network");
      else if (found.kind === "live" && body.dataset.state === "playing") showFacts(found.stream);
      // Off the list, with the last seconds still to play: the engine will say when they are over.
      else if (found.kind === "offline" && stalledMs() > STALL_ASK_MS) over("ended");
    }
    timers.push(setInterval(() => document.hidden || ask(), PLAYING_POLL_MS));

    // Progress is measured by currentTime: no event tells that playback does not go on.
    let movedTo = video.currentTime;
    let movedAt = performance.now();
    let behindSince = movedAt;
    let askedAt = 0;
    const stalledMs = () => performance.now() - movedAt;

    function tick() {
      const now = performance.now();
      const { latency, ingestLatency } = engine;
      const put = (name, seconds) => {
        if (Number.isFinite(seconds)) body.dataset[name] = String(Math.round(seconds * 1000));
        else delete body.dataset[name];
      };
      put("latencyMs", latency);
      put("ingestLatencyMs", ingestLatency);
      body.dataset.lowLatency = String(engine.isLowLatency);
      player.dataset.atLive = String(engine.isAtLive && !video.paused);
      menu.showLatency(latency);

      if (playedSince === 0 || engine.isAtLive || video.paused || !wantsLive) {
        behindSince = now;
      } else if (now - behindSince > BEHIND_MS && engine.quietMs < PLAYLIST_QUIET_MS) {
        behindSince = now;
        engine.goLive();
      }

      if (video.currentTime !== movedTo || (video.paused && playedSince > 0)) {
        movedTo = video.currentTime;
        movedAt = now;
        return;
      }
      if (stalledMs() > STALL_ASK_MS && now - askedAt > STALL_ASK_MS) {
        askedAt = now;
        if (engine.hasEnd) over(engine.isPush ? "closed" : "ended");
        else ask();
      }
      if (stalledMs() > STALL_REBUILD_MS && !needsGesture()) {
        const isQuiet = playedSince > 0 && engine.quietMs > PLAYLIST_QUIET_MS;
        // A playlist that stands still came through the network. Of a connection, only the server's answer tells.
        const isCutOff = engine.isPush && (liveAt < movedAt || stalledMs() > PUSH_QUIET_MS);
        if (!isQuiet || isCutOff) over("failed", "media");
        else setText("hint", "Waiting for the broadcaster…");
      }
    }
    timers.push(setInterval(tick, 500), setInterval(showElapsed, 1000));

    on(video, "playing", () => {
      delete body.dataset.buffering;
      setText("hint", "");
      if (playedSince > 0) return;
      playedSince = performance.now();
      body.dataset.firstFrameMs ??= String(Math.round(playedSince));
      body.dataset.stalls ??= "0";
      show("playing");
      showFacts(stream);
    });
    let stalls = [];
    on(video, "waiting", () => {
      if (playedSince === 0) return;
      body.dataset.buffering = "";
      // A seek has to wait too; that is no stall.
      if (video.seeking) return;
      body.dataset.stalls = String(Number(body.dataset.stalls) + 1);
      if (!engine.isPush || engine.hasEnd) return;
      const now = performance.now();
      stalls = stalls.filter((at) => now - at < PUSH_STALLS_WINDOW_MS);
      if (stalls.push(now) >= PUSH_STALLS_MAX) over("failed", "media");
    });

    let pauseTimer = 0;
    let hasStopped = false;
    on(video, "pause", () => {
      wantsLive = false;
      pauseTimer = setTimeout(() => {
        hasStopped = true;
        engine.pauseLoading();
      }, PAUSE_STOPS_LOADING_MS);
      timers.push(pauseTimer);
    });
    on(video, "play", () => {
      clearTimeout(pauseTimer);
      if (!hasStopped) return;
      hasStopped = false;
      wantsLive = true;
      engine.resumeLoading();
    });

    wantsLive = true;
    engine.load(stream);
    controls.start();
  });

  timers.forEach(clearTimeout);
  listeners.abort();
  engine.destroy();
  engine = null;
  changeMode = () => {};
  delete body.dataset.buffering;
  setText("hint", "");
  return { ...outcome, playedMs: playedSince && performance.now() - playedSince };
}

/** Wait until the viewer wants to watch a channel that is live, and show a picture of it meanwhile. */
async function untilAsked() {
  const asked = new Promise((resolve) => {
    startButton.addEventListener("click", () => resolve(true), { once: true });
  });
  for (;;) {
    const stream = await untilLive(null, false);
    if (stream.poster) video.poster = stream.poster;
    show("ready");
    showFacts(stream);
    startButton.hidden = false;
    if (await Promise.race([asked, sleep(PLAYING_POLL_MS)])) break;
  }
  video.removeAttribute("poster");
  controls.wantSound();
}

/** The browser does not play without a gesture, and the big button waits for it. */
function needsGesture() {
  return !startButton.hidden;
}

async function run() {
  const query = new URLSearchParams(location.search);
  if (body.dataset.start === "asked" && query.get("autoplay") !== "1") await untilAsked();
  const modesFor = await findModes(video, body.dataset.hls, query.get("player"));
  const wait = new Backoff(FAILURE_WAIT_MS, FAILURE_WAIT_MAX_MS);
  let failures = 0;
  let finished = null;
  let hasWatched = false;
  let liveSinceLast = "";
  let shortLived = 0;
  for (;;) {
    const stream = await untilLive(finished, hasWatched);
    if (stream.live_since !== liveSinceLast) menu.forgive();
    liveSinceLast = stream.live_since;
    if (menu.awaits(stream)) {
      show("connecting", "Waiting for the broadcaster…");
      await sleep(wait.next());
      continue;
    }
    const modes = modesFor(stream);
    const mode = menu.pick(modes);
    if (!mode) {
      const why = body.dataset.hls
        ? "Try a newer one."
        : "This server was built without its web player, and this browser has none of its own.";
      show("error", "This browser cannot play the stream", why);
      retryButton.hidden = true;
      return;
    }
    menu.show(mode, modes);
    body.dataset.mode = mode;
    if (failures === 0 && body.dataset.state !== "playing") show("connecting", "Connecting…");
    const { kind, reason, playedMs } = await play(stream, modes.get(mode));
    finished = null;
    hasWatched = kind !== "gone" && (hasWatched || playedMs > 0);
    if (playedMs > FAILURES_CLEARED_MS || kind !== "failed") {
      failures = 0;
      wait.reset();
    }
    shortLived = kind === "closed" && playedMs < PUSH_LASTS_MS ? shortLived + 1 : 0;
    // Once it may be the end of the broadcast, which the next question to the server tells.
    if (kind === "changed" || (kind === "closed" && shortLived < 2)) continue;
    // The same way again would fail again; another one is there at once.
    if (mode === "lowest" && (kind === "closed" || kind === "failed") && menu.avoid(mode, modes)) continue;
    if (kind === "ended") {
      finished = stream.live_since;
      show("ended", "The stream has ended", "Stay here: the next one starts by itself.");
    } else if (kind === "gone") {
      show("gone", "This channel has been taken down", "It cannot be watched any more.");
    } else if (reason === "format") {
      show(
        "error",
        "This browser cannot play the stream",
        "Its picture or sound is in a format that the browser does not know.",
      );
      await sleep(ERROR_WAIT_MS);
    } else if (++failures > FAILURES_MAX) {
      show(
        "error",
        "Playback keeps failing",
        "The connection may be too slow or broken. The page tries again in a minute.",
      );
      failures = 1;
      wait.reset();
      await sleep(ERROR_WAIT_MS);
    } else {
      show("connecting", "Connection lost", "Trying again…");
      await sleep(wait.next());
    }
  }
}

wireCopying();
run();
