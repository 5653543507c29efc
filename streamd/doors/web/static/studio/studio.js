// The broadcaster's page: exchanges the stream key for a session, and asks once a second how things stand.
//
// <body data-state>: loading | signed-out | signed-in; data-live: offline | live | live_with_other_key; data-stale is
// present while the server does not answer.

import { on } from "../base.js";
import { copyable } from "../copying.js";
import { byId, setText } from "../dom.js";
import { limits, when } from "../format.js";
import { Findings } from "../health.js";
import { elapsed } from "../viewer_format.js";
import { Attempts } from "./attempts.js";
import { OwnClips } from "./clips.js";
import { OwnDecisions } from "./decisions.js";
import { Figures } from "./figures.js";
import { OwnRecordings } from "./recordings.js";
import { ask } from "./server.js";
import { OwnTargets } from "./targets.js";

const POLL_MS = 1_000;
// A page in the background is kept signed in, and no more.
const HIDDEN_POLL_MS = 15_000;

const body = document.body;
const figures = new Figures();
const attempts = new Attempts();
const findings = new Findings();
const recordings = new OwnRecordings();
const clips = new OwnClips();
const decisions = new OwnDecisions();
const targets = new OwnTargets();
byId("findings").append(findings.root);

let timer = 0;
let heardAt = 0;
// Answers that were asked for before signing in or out are of another session.
let session = 0;

// -- what is shown ----------------------------------------------------------------------------------

const HEADLINES = {
  offline: ["offline", "Offline", "You are not live", "Press Start Streaming in OBS; this page follows by itself."],
  live: ["live", "Live", "You are live", ""],
  live_with_other_key: [
    "live",
    "Live",
    "Your channel is live",
    "Another key of yours opened it, not the one you signed in with.",
  ],
  // A stream that the server calls live, and nobody sees.
  starting: ["warning", "Starting", "You are connected", "Viewers see you once a keyframe has come."],
  away: ["warning", "Waiting", "Your connection is gone", "Viewers wait for you to come back."],
};

function headlineOf({ state, stream }) {
  if (stream?.health.status !== "no_data") return HEADLINES[state];
  return HEADLINES[stream.health.findings.some((finding) => finding.code === "publisher_away") ? "away" : "starting"];
}

/** A server to which nobody has told its name calls itself localhost; whoever sees this page has reached it by another. */
function reachable(url) {
  return url.replace("//localhost", `//${location.hostname}`);
}

function show(state) {
  const [level, badge, headline, detail] = headlineOf(state);
  // A broadcast that begins or ends has a recording that does.
  if (body.dataset.live !== state.state) {
    recordings.refresh();
    clips.refresh();
  }
  decisions.follow(state.decisions);
  targets.follow(state.targets_max, state.state !== "offline");
  body.dataset.live = state.state;
  byId("badge").dataset.level = level;
  setText(byId("badge"), badge);
  setText(byId("channel"), state.channel);
  setText(byId("headline"), headline);
  const { stream } = state;
  setText(byId("detail"), [stream && `Live for ${elapsed(stream.live_since)}.`, detail].filter(Boolean).join(" "));
  document.title = `${level === "live" ? "● " : ""}${headline} – streamd`;
  if (stream) {
    figures.show(stream);
    findings.update(stream.health);
    const isWell = stream.health.status !== "no_data";
    byId("well").hidden = stream.health.findings.length > 0;
    byId("well").classList.toggle("good", isWell);
    setText(byId("well"), isWell ? "Nothing: your stream arrives as it should." : "Your stream is being looked at…");
  }
  attempts.show(state.attempts);
  const allowed = limits(state.limits);
  byId("limits").hidden = !allowed;
  const spare = state.limits.bitrate_kbps_max
    ? " Set OBS to three quarters of the bit rate, sound included: it needs the rest to catch up."
    : "";
  setText(byId("limits"), allowed && `You may send up to ${allowed}; a stream that is more ends.${spare}`);
  if (byId("share").childElementCount === 0) {
    const watch = on(`watch/${encodeURIComponent(state.channel)}`);
    byId("share").replaceChildren(copyable("Your channel, to share", watch, { id: "watch-link" }));
    byId("server").replaceChildren(copyable("Server", reachable(state.rtmp_url), { id: "rtmp-url" }));
  }
}

function showStale(isStale) {
  body.toggleAttribute("data-stale", isStale);
  const stale = byId("stale");
  stale.hidden = !isStale;
  setText(stale, isStale ? `The server does not answer. What you see is from ${when(heardAt)}. Trying again…` : "");
}

// -- the session ------------------------------------------------------------------------------------

function signedIn(state) {
  heardAt = Date.now();
  setText(byId("gone"), "");
  byId("gone").hidden = true;
  body.dataset.state = "signed-in";
  show(state);
  showStale(false);
  schedule();
}

/** @param why what has happened to the key, if anything */
function signedOut(why = "") {
  session += 1;
  clearTimeout(timer);
  body.dataset.state = "signed-out";
  delete body.dataset.live;
  document.title = "Studio – streamd";
  // Nothing of the channel stays on the page.
  byId("share").replaceChildren();
  byId("server").replaceChildren();
  attempts.show([]);
  recordings.clear();
  clips.clear();
  decisions.clear();
  targets.clear();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  setText(byId("channel"), "");
  setText(byId("gone"), why);
  byId("gone").hidden = !why;
  byId("key").focus();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(refresh, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

async function refresh() {
  const asked = session;
  const { status, answer } = await ask("GET", "state");
  if (asked !== session) return;
  if (status === 200) signedIn(answer);
  else if (status === 403) signedOut(answer.detail);
  else if (status === 401) signedOut(body.dataset.state === "signed-in" ? "You were signed out. Sign in again." : "");
  else if (body.dataset.state === "signed-in") {
    showStale(true);
    schedule();
  } else {
    signedOut();
    setText(byId("sign-in-error"), "The server does not answer.");
  }
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("key", HTMLInputElement);
  const button = byId("sign-in-button", HTMLButtonElement);
  button.disabled = true;
  setText(byId("sign-in-error"), "");
  const { status, answer } = await ask("POST", "session", { stream_key: field.value });
  button.disabled = false;
  if (status === 201) {
    field.value = "";
    signedIn(answer);
    byId("headline").focus();
  } else {
    setText(byId("sign-in-error"), answer?.detail ?? "The server does not answer. Try again.");
    field.select();
  }
});

byId("sign-out").addEventListener("click", () => {
  signedOut();
  ask("POST", "end");
});

document.addEventListener("visibilitychange", () => {
  if (body.dataset.state === "signed-in" && !document.hidden) refresh();
});
refresh();
