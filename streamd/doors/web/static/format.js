// Numbers, times and codecs as people read them.

import { pictureName } from "./viewer_format.js";

const DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const WHOLE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

function scaled(value, units, step) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${DIGITS.format(value)} ${units[unit]}`;
}

/** "5.9 Mb/s". */
export function bitrate(bps) {
  return scaled(bps, ["b/s", "kb/s", "Mb/s", "Gb/s"], 1000);
}

/** "312 MB". */
export function size(bytes) {
  return scaled(bytes, ["B", "KB", "MB", "GB"], 1024);
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** "12:03:10" of today, "12 Mar, 12:03" of another day. */
export function when(iso) {
  const date = new Date(iso);
  return date.toDateString() === new Date().toDateString() ? TIME.format(date) : DATE_TIME.format(date);
}

/** All of a time, for whoever points at it. */
export function whenWhole(iso) {
  return WHOLE.format(new Date(iso));
}

/** @type {[RegExp, string][]} */
const CODECS = [
  [/^avc[13]/, "H.264"],
  [/^(hvc1|hev1)/, "HEVC"],
  [/^av01/, "AV1"],
  [/^vp09/, "VP9"],
  [/^vp08/, "VP8"],
  [/^mp4a\.(6b|69|40\.34)/i, "MP3"],
  [/^mp4a/, "AAC"],
  [/^opus/i, "Opus"],
  [/^flac/i, "FLAC"],
  [/^ac-3/, "AC-3"],
  [/^ec-3/, "E-AC-3"],
];

/** "H.264 + AAC" of RFC 6381 codecs. */
export function codecs(list) {
  return list.map((codec) => CODECS.find(([pattern]) => pattern.test(codec))?.[1] ?? codec).join(" + ");
}

/** "1080p60"; empty without a picture. */
export function picture({ width, height, frame_rate: rate }) {
  if (!height) return "";
  return pictureName(width, height, rate);
}

/** Sizes of pictures that have a name, in pixels, as encoders pad them to blocks of 16×16. */
/** @type {[number, string][]} */
export const PICTURE_SIZES = [
  [414_720, "480p"],
  [921_600, "720p"],
  [2_088_960, "1080p"],
  [3_686_400, "1440p"],
  [8_294_400, "2160p"],
];

/** "1080p", or "1,000,000 pixels". */
export function pictureSize(pixels) {
  return PICTURE_SIZES.find(([named]) => named === pixels)?.[1] ?? count(pixels, "pixel");
}

/** "6 Mb/s, 1080p" of what a user may send; empty where nothing is said. */
export function limits({ bitrate_kbps_max: kbps, picture_pixels_max: pixels }) {
  return [kbps && bitrate(kbps * 1000), pixels && pictureSize(pixels)].filter(Boolean).join(", ");
}

/** "Lavf62.12.102" of "FMLE/3.0 (compatible; Lavf62.12.102)": most encoders say first that they are like Adobe's. */
export function encoderName(flashVersion) {
  const obs = /^obs-output module \(libobs version ([^)]+)\)$/.exec(flashVersion);
  if (obs) return `OBS ${obs[1]}`;
  return /^FMLE\/[\d.]+ \(compatible; (?!FMSc)([^)]+)\)$/.exec(flashVersion)?.[1] ?? flashVersion;
}

const PROTOCOLS = new Map([
  ["hls", "HLS"],
  ["flv", "FLV"],
  ["mp4", "MP4"],
]);

/**
 * All viewers of a stream.
 *
 * @param {Record<string, number>} byProtocol
 */
export function totalViewers(byProtocol) {
  return Object.values(byProtocol).reduce((sum, number) => sum + number, 0);
}

/**
 * "1,204 HLS · 3 MP4"; empty where nobody watches.
 *
 * @param {Record<string, number>} byProtocol
 */
export function viewersByProtocol(byProtocol) {
  const some = Object.entries(byProtocol).filter(([, number]) => number > 0);
  return some
    .map(([protocol, number]) => `${number.toLocaleString("en")} ${PROTOCOLS.get(protocol) ?? protocol}`)
    .join(" · ");
}

/**
 * The words for a picture: "1080p60", or that there is none.
 *
 * @param {StreamFigures} stream
 */
export function pictureOrSound(stream) {
  return picture(stream) || (stream.codecs.length > 0 ? "Sound only" : "–");
}

/**
 * "2.0 s"; a dash where no keyframe has come.
 *
 * @param {number | null} interval
 */
export function keyframeInterval(interval) {
  return interval === null ? "–" : `${interval.toFixed(1)} s`;
}
