// The states of the watch page, in one table, and what it says in each.

/**
 * @typedef {"connecting" | "offline" | "ready" | "playing" | "ended" | "gone" | "error"} PageState
 * @typedef {{badge: string, mark?: string, hasFacts?: boolean, offersRetry?: boolean, mayAwaitGesture?: boolean}} Look
 * @typedef {{state: PageState, title: string, detail: string, badge?: string}} Message badge: in place of its state's
 */

/**
 * How the page looks in a state: the badge; what stands before the tab's title; whether it has figures of a broadcast,
 * a button to try again, and a big button to play that waits for a gesture.
 *
 * @type {Readonly<Record<PageState, Look>>}
 */
export const LOOKS = {
  connecting: { badge: "Connecting" },
  offline: { badge: "Offline" },
  ready: { badge: "Live" },
  playing: { badge: "Live", mark: "● ", hasFacts: true, mayAwaitGesture: true },
  ended: { badge: "Ended" },
  gone: { badge: "Taken down" },
  error: { badge: "Reconnecting", offersRetry: true },
};

/** @type {(state: PageState, title?: string, detail?: string, badge?: string) => Message} */
const message = (state, title = "", detail = "", badge = undefined) => ({ state, title, detail, badge });

export const MESSAGES = {
  connecting: message("connecting", "Connecting…"),
  connectionLost: message("connecting", "Connection lost", "Trying again…", "Reconnecting"),
  awaitingBroadcaster: message("connecting", "Waiting for the broadcaster…", "", "Waiting"),
  starting: message(
    "connecting",
    "The broadcaster is connected",
    "The stream starts here as soon as its first picture comes.",
  ),
  ready: message("ready"),
  playing: message("playing"),
  ended: message("ended", "The stream has ended", "Stay here: the next one starts by itself."),
  gone: message("gone", "This channel has been taken down", "It cannot be watched any more."),
  locked: message("error", "You may not watch this any more", "Open the link that you were given again.", "Locked"),
  unanswered: message("error", "The server does not answer", "Check your network. This page goes on trying by itself."),
  unknownFormat: message(
    "error",
    "This browser cannot play the stream",
    "Its picture or sound is in a format that the browser does not know.",
    "Live",
  ),
  keepsFailing: message(
    "error",
    "Playback keeps failing",
    "The connection may be too slow or broken. The page tries again in a minute.",
  ),
  tooOld: message("error", "This browser cannot play the stream", "Try a newer one.", "Live"),
  withoutPlayer: message(
    "error",
    "This browser cannot play the stream",
    "This server was built without its web player, and this browser has none of its own.",
    "Live",
  ),
};

/**
 * @param {string} channel
 * @returns {Message}
 */
export function offline(channel) {
  return message("offline", `${channel} is offline`, "The stream starts here by itself as soon as it goes live.");
}
