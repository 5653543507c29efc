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

/** "1080p60" of the best variant; empty where there is no picture or no word of one. */
export function quality(stream) {
  let best = { height: 0, rate: 0 };
  for (const variant of stream.variants ?? []) {
    const height = Number(/^\d+x(\d+)$/.exec(variant.resolution ?? "")?.[1] ?? 0);
    if (height > best.height) best = { height, rate: Number(variant.frame_rate) || 0 };
  }
  if (best.height === 0) return "";
  return best.rate > 31 ? `${best.height}p${Math.round(best.rate)}` : `${best.height}p`;
}
