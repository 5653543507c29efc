// The attempts to publish with this key, in words that say what to do.

import { byId, element } from "../dom.js";
import { count, when, whenWhole } from "../format.js";
import { KeyedList } from "../keyed_list.js";

const ASK = "Ask whoever runs this server.";
const KEPT_LIVE = "OBS connects again by itself if Settings → Advanced → Automatically Reconnect is enabled.";

// By result, as studio.py sends it: the level of its colour, a headline and an advice.
const RESULTS = {
  live: ["live", "Live now", ""],
  unknown: [
    "refused",
    "Refused: the key was not right",
    "It began like yours, but was not yours to its end. Copy the stream key again, whole, into Settings → Stream.",
  ],
  revoked: ["refused", "Refused: this key was revoked", `It never works again. ${ASK}`],
  expired: ["refused", "Refused: this key has expired", ASK],
  suspended: ["refused", "Refused: your channel is suspended", ASK],
  taken_down: ["refused", "Taken down: your channel is not shown", "Above stands why, and what was decided."],
  blocked: ["refused", "Refused: your network or country is blocked", ASK],
  rate_limited: [
    "refused",
    "Refused: too many wrong keys before it",
    "Somebody tried many keys from your network or with your key’s beginning. Try again in a minute.",
  ],
  too_often: [
    "refused",
    "Refused: too many attempts within a minute",
    "Something starts and stops your stream again and again. Stop it, wait a minute, then go live once.",
  ],
  died_while_verified: ["refused", "Refused: the key stopped to work in this moment", ASK],
  busy: [
    "refused",
    "Refused: you are live already",
    "Another encoder is live on your channel: stop it first. One that has lost its connection gives way to the same key within two seconds, and to another key of yours within half a minute.",
  ],
  forbidden: ["refused", "Refused: you may not go live now", `Whoever runs this server has decided so. ${ASK}`],
  undecided: ["refused", "Refused: the server could not find out whether you may go live", "Try again in a moment."],
  rejected: ["refused", "Refused: the server cannot take your stream now", ""],
  goodbye: ["over", "Ended: you stopped streaming", ""],
  connection_lost: [
    "warning",
    "Ended: the connection was lost",
    `Your network, or something between you and the server, dropped it. ${KEPT_LIVE} If it happens often, lower the bitrate or use a cable instead of Wi-Fi.`,
  ],
  media_timeout: [
    "warning",
    "Ended: nothing arrived any more",
    "The connection was open, but no picture or sound came. See whether OBS is frozen, or its network is blocked.",
  ],
  protocol_error: [
    "error",
    "Ended: the encoder sent something that is not RTMP",
    "Update the encoder, or try another one; something between it and the server may damage what it sends.",
  ],
  media_error: [
    "error",
    "Ended: the picture or sound cannot be used",
    "In OBS: Settings → Output → Video Encoder: an H.264 encoder; Audio Encoder: AAC.",
  ],
  over_limit: [
    "error",
    "Ended: more than you may send here",
    "In OBS: lower Settings → Output → Video Bitrate, or Settings → Video → Output (Scaled) Resolution, or ask whoever runs this server for more.",
  ],
  internal_error: ["error", "Ended: a fault of the server", `It has been logged there. ${ASK}`],
  kicked: ["warning", "Ended: closed by whoever runs this server", "Your key still works."],
  key_died: [
    "refused",
    "Ended: your key stopped to work",
    `It was revoked or has expired, or your channel was suspended. ${ASK}`,
  ],
  server_stopped: ["over", "Ended: the server was stopped", "It may be back in a moment."],
};

function duration(from, to) {
  const seconds = Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function cells(attempt) {
  const [level, headline, advice] = RESULTS[attempt.result] ?? ["warning", attempt.result.replaceAll("_", " "), ""];
  const lasted = attempt.ended_at ? `, after ${duration(attempt.at, attempt.ended_at)}` : "";
  const often = attempt.count > 1 ? ` – ${count(attempt.count, "time")}` : "";
  // The fault of the media; of the others, the headline says all.
  const detail =
    attempt.detail && ["media_error", "over_limit", "protocol_error", "rejected"].includes(attempt.result)
      ? element("p", { class: "extra" }, attempt.detail)
      : null;
  return [
    element(
      "p",
      { class: "when" },
      element("time", { datetime: attempt.at, title: whenWhole(attempt.at) }, when(attempt.at)),
      element("span", { class: "extra" }, `from ${attempt.address}`),
    ),
    element(
      "div",
      { class: "what" },
      element("span", { class: "pill", "data-level": level }, `${headline}${lasted}${often}`),
      advice ? element("p", {}, advice) : null,
      detail,
    ),
  ];
}

export class Attempts {
  #none = byId("no-attempts");
  #list = new KeyedList(
    byId("attempts"),
    (attempt) => JSON.stringify(attempt),
    (attempt) => ({
      root: element("li", {}, ...cells(attempt)),
      update() {},
    }),
  );

  show(attempts) {
    this.#list.show(attempts);
    this.#none.hidden = attempts.length > 0;
  }
}
