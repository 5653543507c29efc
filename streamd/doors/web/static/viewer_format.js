// Figures of a broadcast, as viewers read them.

/** "12 s", "4 min", "2 h 05 min" since an ISO 8601 time; empty where there is none. */
export function elapsed(since) {
  const seconds = Math.floor((Date.now() - Date.parse(since)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${Math.max(0, seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** "1 watching", "1,234 watching"; empty where the server does not say. */
export function watching(viewers) {
  return Number.isInteger(viewers) ? `${viewers.toLocaleString("en")} watching` : "";
}

/** "1080p60": a picture is named by its short side, and by its frames a second where there are many. */
export function pictureName(width, height, rate) {
  const side = Math.min(width, height);
  if (!side) return "";
  return rate > 31 ? `${side}p${Math.round(rate)}` : `${side}p`;
}

/**
 * "1080p60" of the picture that plays, or of the best variant where none does yet; empty where there is none.
 *
 * @param {Pick<LiveChannel, "variants">} stream
 * @param {{videoWidth: number, videoHeight: number}} [shown]
 */
export function quality({ variants }, { videoWidth, videoHeight } = { videoWidth: 0, videoHeight: 0 }) {
  const sizes = variants.map(({ resolution, frame_rate: rate }) => {
    const [width, height] = (resolution ?? "0x0").split("x").map(Number);
    return { width, height, rate: rate ?? 0 };
  });
  if (!videoWidth || !videoHeight) {
    const pixels = ({ width, height }) => width * height;
    const best = sizes.reduce((one, other) => (pixels(other) > pixels(one) ? other : one), {
      width: 0,
      height: 0,
      rate: 0,
    });
    return pictureName(best.width, best.height, best.rate);
  }
  const playing = sizes.find(({ width, height }) => width === videoWidth && height === videoHeight);
  // Of a size that no variant has, a browser that counts otherwise or a change that is under way, the rate is not known.
  return pictureName(videoWidth, videoHeight, (playing ?? (sizes.length === 1 ? sizes[0] : { rate: 0 })).rate);
}

/**
 * Names of qualities, by which a viewer tells them apart: "720p60", and "720p60, 3 Mb/s" where several have that size.
 *
 * @param {readonly {width: number, height: number, frameRate?: number, bitrate: number}[]} levels
 * @returns {string[]} in their order
 */
export function qualityNames(levels) {
  const names = levels.map(
    ({ width, height, frameRate }) => pictureName(width, height, frameRate ?? 0) || "Sound only",
  );
  return names.map((name, at) => {
    if (names.indexOf(name) === names.lastIndexOf(name)) return name;
    const { bitrate } = levels[at];
    return `${name}, ${bitrate < 1e6 ? `${Math.round(bitrate / 1e3)} kb/s` : `${(bitrate / 1e6).toFixed(1)} Mb/s`}`;
  });
}

/**
 * Whether there is something to see; true as long as nothing is known.
 *
 * @param {Pick<LiveChannel, "variants" | "push_codecs">} stream
 */
export function hasPicture({ variants, push_codecs: codecs }) {
  if (variants.length > 0) return variants.some(({ resolution }) => resolution !== null);
  return !codecs || /avc|hvc|hev|av01|vp0/.test(codecs);
}
