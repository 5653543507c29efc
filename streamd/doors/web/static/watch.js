// The watch page and the player in other sites' pages: waits for the channel, plays it, and tells the viewer how things
// stand.
//
// <body data-state>: connecting | offline | ready | playing | ended | gone | error; "ready" where <body data-start> is
// "asked", which means to load no media before the viewer wants it. What the page measures is in
// further data attributes of <body>, for tests and for whoever is asked "what does it say?":
//   data-mode             lowest | low | stable | past
//   data-engine           mp4 | hls | native
//   data-first-frame-ms   from navigation to the first frame
//   data-latency-ms       behind the newest media of the playlist, or the newest that was pushed
//   data-ingest-latency-ms  from being ingested to being shown, if the clocks agree
//   data-stalls           times that playback had to wait since the first frame
//   data-buffering        present while it waits

import { Aftermath } from "./aftermath.js";
import { lookUp } from "./api.js";
import { Backoff } from "./backoff.js";
import { Broadcast } from "./broadcast.js";
import { clipLength, wireClipButton } from "./clip_button.js";
import { wireControls } from "./controls.js";
import { wireCopying } from "./copying.js";
import { byId } from "./dom.js";
import { findModes } from "./engines.js";
import { ModeMenu } from "./modes.js";
import { MESSAGES, offline } from "./page_state.js";
import { PastBar } from "./past_bar.js";
import { shownAt } from "./report_address.js";
import { wireReportButton } from "./report_button.js";
import { wireSharing } from "./sharing.js";
import { WatchPage } from "./watch_page.js";

// A page that is looked at asks once, and is answered when the channel goes live; one that is not asks every now and then.
const OFFLINE_POLL_MS = 2_000;
const OFFLINE_POLL_MAX_MS = 15_000;
// A page of somebody else's has six connections for all its players: so many of them wait for an answer, and the others
// ask at least this often.
const HOLDING_FRAMES_MAX = 3;
const FRAME_POLL_MAX_MS = 5_000;
// An answer that took this long was held by the server: it may be asked again at once.
const HELD_MS = 2_000;
// A takedown may be lifted, but not from one second to the next.
const GONE_POLL_MS = 30_000;
// A page that shows a picture of a broadcast, and waits to be asked for it, where it is not told of a change.
const READY_POLL_MS = 15_000;
const READY_POLL_SOON_MS = 2_000;
// The API may call a broadcast live for a moment after its playlist has ended.
const SAME_BROADCAST_MS = 30_000;
// Questions without an answer before the page says so.
const UNANSWERED_MAX = 3;
const FAILURE_WAIT_MS = 1_000;
// Recordings of the channel are looked up behind the first frame.
const RECORDINGS_MS = 2_000;
const FAILURE_WAIT_MAX_MS = 8_000;

const { dataset } = document.body;
const video = byId("video", HTMLVideoElement);
const player = byId("player");
const page = new WatchPage(dataset.channel ?? "");

/** @type {Broadcast | null} */
let broadcast = null;

const menu = new ModeMenu({
  onMode: () => broadcast?.change(),
  onQuality: (name) => broadcast?.chooseQuality(name),
});

// A page in somebody else's site has no such button.
if (dataset.clips)
  wireClipButton(() => {
    if (!page.isPlaying) return null;
    const stream = page.channel;
    // The picture that is shown was taken so long ago, by the viewer's own clock, however wrong that is.
    const behindMs = Number(dataset.ingestLatencyMs ?? NaN);
    if (!Number.isFinite(behindMs)) return { stream, last_s: clipLength() };
    const shown = Date.now() - behindMs;
    const start = new Date(shown - 1000 * clipLength()).toISOString();
    return { stream, start, end: new Date(shown).toISOString() };
  });

const pastBar = new PastBar(() => {
  if (!broadcast?.seekPast(pastBar.behind)) broadcast?.change();
});

const controls = wireControls(player, video, {
  goLive() {
    if (pastBar.behind === null) {
      broadcast?.goLive();
    } else {
      pastBar.leave();
      broadcast?.change();
    }
  },
  goBack(position) {
    broadcast?.leaveLive();
    video.currentTime = position;
  },
});

/**
 * Wait until the channel is live and say meanwhile how it is.
 *
 * @param {string | null} finished `live_since` of a broadcast that this page has seen end
 * @param {boolean} hasWatched a broadcast was on this page until now, so "offline" means that it has ended
 * @returns {Promise<LiveChannel>}
 */
async function untilLive(finished, hasWatched) {
  const wait = new Backoff(OFFLINE_POLL_MS, OFFLINE_POLL_MAX_MS);
  const believeAgainAt = performance.now() + SAME_BROADCAST_MS;
  let unanswered = 0;
  /** @type {"offline" | "starting" | ""} */
  let known = "";
  for (;;) {
    const askedAt = performance.now();
    const found = await lookUp(page.channel, mayHold() ? known : "");
    const wasHeld = performance.now() - askedAt > HELD_MS && found.kind !== "unreachable";
    const isFirst = known === "";
    known = found.kind === "offline" || found.kind === "starting" ? found.kind : "";
    unanswered = found.kind === "unreachable" ? unanswered + 1 : 0;
    if (found.kind === "live") {
      if (found.stream.live_since !== finished || performance.now() > believeAgainAt) return found.stream;
    } else if (found.kind === "locked") {
      page.show(MESSAGES.locked);
      await page.sleep(GONE_POLL_MS);
      continue;
    } else if (found.kind === "gone") {
      page.show(MESSAGES.gone);
      await page.sleep(GONE_POLL_MS);
      continue;
    } else if (found.kind === "offline") {
      page.show(hasWatched ? MESSAGES.ended : offline(page.channel));
    } else if (found.kind === "starting") {
      page.show(MESSAGES.starting);
    } else if (page.isPlaying) {
      page.show(MESSAGES.connectionLost);
    } else if (unanswered >= UNANSWERED_MAX) {
      page.show(MESSAGES.unanswered);
    }
    if (wasHeld) wait.reset();
    if (!known || !mayHold() || !(wasHeld || isFirst)) await page.sleep(Math.min(wait.next(), pollMaxMs()));
  }
}

/** Whether the server may be asked to answer when there is something to say. */
function mayHold() {
  return !document.hidden && placeInPage() < HOLDING_FRAMES_MAX;
}

function pollMaxMs() {
  return document.hidden || window.parent === window ? OFFLINE_POLL_MAX_MS : FRAME_POLL_MAX_MS;
}

/** How many frames stand before this one in the page that it is in; a page of another site tells that much. */
function placeInPage() {
  if (window.parent === window) return 0;
  let place = 0;
  while (place < window.parent.length && window.parent[place] !== window) place += 1;
  return place;
}

/**
 * Wait until a channel that is live is another way, or a while.
 *
 * @param {LiveChannel} stream
 * @param {AbortSignal} signal
 */
async function untilOtherwise(stream, signal) {
  if (!mayHold()) return page.sleep(READY_POLL_MS);
  const askedAt = performance.now();
  await lookUp(page.channel, stream.state, signal);
  // One that is not held is asked again, and not at once.
  if (performance.now() - askedAt < HELD_MS) await page.sleep(READY_POLL_SOON_MS);
}

/** Wait until the viewer wants to watch a channel that is live, and show a picture of it meanwhile. */
async function untilAsked() {
  const asked = page.asked();
  for (;;) {
    const stream = await untilLive(null, false);
    if (stream.poster) video.poster = stream.poster;
    page.show(MESSAGES.ready);
    page.showFacts(stream);
    page.offerStart();
    const waiting = new AbortController();
    const isAsked = await Promise.race([asked, untilOtherwise(stream, waiting.signal)]);
    waiting.abort();
    if (isAsked) break;
  }
  video.removeAttribute("poster");
  controls.wantSound();
}

async function run() {
  const query = new URLSearchParams(location.search);
  const hls = dataset.hls ?? "";
  if (dataset.start === "asked" && query.get("autoplay") !== "1") await untilAsked();
  const { modesFor, pastFrom } = await findModes(video, hls, query.get("player"));
  const wait = new Backoff(FAILURE_WAIT_MS, FAILURE_WAIT_MAX_MS);
  const aftermath = new Aftermath(wait);
  let liveSinceLast = "";
  for (;;) {
    const stream = await untilLive(aftermath.finished, aftermath.hasWatched);
    if (stream.live_since !== liveSinceLast) menu.forgive();
    liveSinceLast = stream.live_since;
    if (menu.awaits(stream) || (aftermath.isAwaited && stream.state === "waiting")) {
      page.show(MESSAGES.awaitingBroadcaster);
      await page.sleep(wait.next());
      continue;
    }
    const modes = modesFor(stream);
    const mode = menu.pick(modes);
    pastBar.offer(stream);
    const makePast = pastBar.behind === null ? null : pastFrom(pastBar.behind);
    const makeEngine = makePast ?? (mode && modes.get(mode));
    if (!mode || !makeEngine) {
      page.show(hls ? MESSAGES.tooOld : MESSAGES.withoutPlayer);
      page.giveUp();
      return;
    }
    menu.show(mode, modes);
    dataset.mode = makePast ? "past" : mode;
    if (!aftermath.hasFailed && !page.isPlaying) page.show(MESSAGES.connecting);
    broadcast = new Broadcast({ page, video, player, menu, pastBar }, stream, makeEngine);
    const outcome = await broadcast.play(controls.start);
    broadcast = null;
    const next = aftermath.of(outcome, stream.live_since, () => mode === "lowest" && menu.avoid(mode, modes));
    if (next.message) page.show(next.message);
    if (next.waitMs > 0) await page.sleep(next.waitMs);
  }
}

wireCopying();
wireReportButton(() => (page.isPlaying ? shownAt(dataset.ingestLatencyMs, Date.now()) : null));
wireSharing();
run();
// The picture has the network first. In a page of somebody else's the player stands alone.
if (document.getElementById("recordings-section")) {
  setTimeout(async () => {
    const { ChannelRecordings } = await import("./channel_recordings.js");
    new ChannelRecordings(page.channel);
  }, RECORDINGS_MS);
}
