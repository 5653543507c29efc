// What the pages ask the server: the public JSON, gently.

const REQUEST_TIMEOUT_MS = 10_000;

/** Waits that grow by half each time up to a limit, scattered so that a crowd does not ask in step. */
export class Backoff {
  #first;
  #max;
  #next;

  constructor(firstMs, maxMs) {
    this.#first = firstMs;
    this.#max = maxMs;
    this.#next = firstMs;
  }

  reset() {
    this.#next = this.#first;
  }

  /** The next wait in milliseconds, 80 to 120 % of its step. */
  next() {
    const step = this.#next;
    this.#next = Math.min(this.#max, step * 1.5);
    return step * (0.8 + 0.4 * Math.random());
  }
}

async function get(path) {
  return fetch(path, {
    headers: { accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
}

/**
 * Ask how a channel is: `{kind: "live", stream}`, or only a kind: "offline", "gone" (taken down)
 * or "unreachable" (no answer, or one that says nothing about the channel).
 */
export async function lookUp(name) {
  try {
    const answer = await get(`/api/v1/streams/${encodeURIComponent(name)}`);
    if (answer.ok) return { kind: "live", stream: await answer.json() };
    if (answer.status === 404) return { kind: "offline" };
    if (answer.status === 410) return { kind: "gone" };
  } catch {
    // No network, a timeout, or a body that is not JSON: all the same to a viewer.
  }
  return { kind: "unreachable" };
}

/** The channels that are live, or null where the server does not answer. */
export async function listStreams() {
  try {
    const answer = await get("/api/v1/streams");
    if (answer.ok) return (await answer.json()).streams;
  } catch {
    // As in lookUp.
  }
  return null;
}

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
