// A recording, or a clip of one: what plays it, and what there is to say of it.

import { mediaOn, on, TICKET_FIELDS } from "./base.js";
import { clipLength, wireClipButton } from "./clip_button.js";
import { byId, setText } from "./dom.js";
import { wireRecordedControls } from "./recorded_controls.js";
import { wireReportButton } from "./report_button.js";
import { clockTime } from "./storyboard.js";

const { body } = document;
const REQUEST_TIMEOUT_MS = 10_000;
// A recording that goes on grows: how it stands is asked this often.
const REFRESH_MS = 10_000;

const MESSAGES = {
  404: body.dataset.kind === "clips" ? "There is no such clip." : "There is no such recording.",
  410: body.dataset.kind === "clips" ? "This clip is gone." : "This recording is gone.",
  0: "The server does not answer. It is asked again.",
};

/**
 * @typedef {{id: string, user: string, state: string, title: string, started_at: string, duration_s: number,
 *   playlist: string, mp4: string, poster: string | null, storyboard: string | null}} Recording
 */

/**
 * Ask for a recording.
 *
 * @param {string} id
 * @returns {Promise<Recording | number>} the HTTP status where there is none; 0 where nobody answers
 */
async function lookUp(id) {
  try {
    const answer = await fetch(on(`api/v1/${body.dataset.kind}/${encodeURIComponent(id)}`), {
      headers: { accept: "application/json", ...TICKET_FIELDS },
      cache: "no-store",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    return answer.ok ? await answer.json() : answer.status;
  } catch {
    return 0;
  }
}

/** @param {Recording} recording */
function show(recording) {
  const title = recording.title || recording.user;
  setText(byId("title"), title);
  document.title = `${title} – streamd`;
  setText(
    byId("began"),
    new Date(recording.started_at).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" }),
  );
  setText(byId("length"), clockTime(recording.duration_s));
  setText(byId("state"), recording.state === "recording" ? "Still being recorded" : "");
  const channel = byId("channel", HTMLAnchorElement);
  channel.href = on(`watch/${recording.user}`);
  channel.hidden = false;
  setText(channel, recording.user);
  const download = byId("download", HTMLAnchorElement);
  download.href = mediaOn("vod", recording.id, ".mp4");
  download.hidden = false;
  setText(byId("message"), "");
}

/**
 * Play by Media Source Extensions where the browser has them, by its own HLS elsewhere, and where the page's address asks
 * for that: `?player=native`.
 *
 * @param {HTMLVideoElement} video
 * @param {string} playlist
 */
async function play(video, playlist) {
  const isNative = new URLSearchParams(location.search).get("player") === "native";
  const module = isNative ? "" : body.dataset.hls;
  const Hls = module ? (await import(new URL(module, document.baseURI).href)).default : null;
  if (!Hls?.isSupported()) {
    if (video.canPlayType("application/vnd.apple.mpegurl")) video.src = playlist;
    else setText(byId("message"), "This browser cannot play it. It can be downloaded.");
    return;
  }
  const hls = new Hls({ startPosition: 0 });
  hls.on(
    Hls.Events.ERROR,
    (/** @type {string} */ _, /** @type {{fatal: boolean, type: string, response?: {code: number}}} */ data) => {
      if (!data.fatal) return;
      if (data.type === "mediaError") hls.recoverMediaError();
      else setText(byId("message"), MESSAGES[/** @type {404} */ (data.response?.code ?? 0)] ?? MESSAGES[0]);
    },
  );
  hls.loadSource(playlist);
  hls.attachMedia(video);
}

const video = byId("video", HTMLVideoElement);
const { showStoryboard } = wireRecordedControls(byId("player"), video);
/** When the first picture was taken; null until that is known. */
let startedAt = /** @type {Date | null} */ (null);
let isPlaying = false;
let hasStoryboard = false;

async function refresh() {
  const found = await lookUp(body.dataset.recording ?? "");
  if (typeof found === "number") {
    setText(byId("message"), MESSAGES[/** @type {404} */ (found)] ?? MESSAGES[0]);
    // A recording that is gone stays gone.
    if (found === 404 || found === 410) return;
  } else {
    show(found);
    startedAt = new Date(found.started_at);
    if (!isPlaying) {
      isPlaying = true;
      if (found.poster) video.poster = mediaOn("vod", found.id, "poster.jpg");
      await play(video, mediaOn("vod", found.id, "index.m3u8"));
    }
    if (found.storyboard && !hasStoryboard) {
      hasStoryboard = true;
      showStoryboard(mediaOn("vod", found.id, "storyboard.vtt"));
    }
    if (found.state !== "recording" && found.state !== "finalizing") return;
  }
  setTimeout(refresh, REFRESH_MS);
}

wireReportButton(() => startedAt && new Date(startedAt.getTime() + 1000 * video.currentTime));

// Of a clip there is none.
if (body.dataset.kind === "recordings")
  wireClipButton(() => {
    const end = video.currentTime;
    return end > 0 ? { recording: body.dataset.recording, start: Math.max(0, end - clipLength()), end } : null;
  });

refresh();
