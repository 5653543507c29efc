// The servers that a broadcast is passed on to: their states and figures in words, and the services that many use.

import { bitrate, count } from "./format.js";
import { elapsed } from "./viewer_format.js";

/** @type {Readonly<Record<TargetState, {name: string, level: string, meaning: string}>>} */
export const TARGET_STATES = {
  off: { name: "Off", level: "over", meaning: "" },
  waiting: { name: "Waiting", level: "over", meaning: "It gets the next broadcast." },
  connecting: { name: "Connecting", level: "warning", meaning: "" },
  live: { name: "Live", level: "live", meaning: "" },
  reconnecting: { name: "Reconnecting", level: "warning", meaning: "It is tried again by itself." },
  refused: { name: "Refused", level: "error", meaning: "It is asked again by itself, less and less often." },
  failed: { name: "Failed", level: "error", meaning: "It is tried no more in this broadcast." },
};

/** The services, by name, with the server that each tells encoders. */
export const SERVICES = Object.freeze({
  YouTube: "rtmps://a.rtmps.youtube.com/live2",
  Twitch: "rtmps://live.twitch.tv/app",
  Facebook: "rtmps://live-api-s.facebook.com/rtmp",
});

/**
 * What a target is called: its label, or its server.
 *
 * @param {RestreamTarget} target
 */
export const nameOf = ({ label, url }) => label || url.replace(/^rtmps?:\/\//, "").replace(/\/.*/, "");

/**
 * The facts of a target, for one line.
 *
 * @param {RestreamTarget} target
 * @returns {string[]}
 */
export function factsOf(target) {
  const { state, since, kbps, dropped, attempts, enabled } = target;
  const isTried = since !== null && state !== "off" && state !== "waiting";
  return [
    target.url,
    `key ${target.key_hint}`,
    since !== null && `for ${elapsed(since)}`,
    state === "live" && bitrate(kbps * 1000),
    dropped > 0 && `${count(dropped, "frame")} dropped`,
    isTried && attempts > 1 && count(attempts, "attempt"),
    state === "off" && (enabled ? "off for this broadcast" : "switched off"),
  ].filter((fact) => typeof fact === "string");
}

/**
 * Why a target is not live, in its own words where it has some; empty where there is nothing to say.
 *
 * @param {RestreamTarget} target
 */
export function troubleOf({ state, last_error: words }) {
  const isInTrouble = state === "reconnecting" || state === "refused" || state === "failed";
  const meaning = TARGET_STATES[state]?.meaning ?? "";
  if (words && (isInTrouble || state === "connecting")) return `${words}. ${meaning}`.trim();
  return isInTrouble || state === "waiting" ? meaning : "";
}

/**
 * What can be done with a target now: start it, also anew, and stop it for this broadcast.
 *
 * @param {RestreamTarget} target
 * @param {boolean} isLive a broadcast of its user runs
 */
export function actsOf({ state, enabled }, isLive) {
  const isAtRest = state === "off" || state === "failed";
  return {
    mayStart: isLive && isAtRest,
    mayStop: isLive && state !== "off",
    switchTo: !enabled,
  };
}
