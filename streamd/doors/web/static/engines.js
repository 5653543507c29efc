// The ways to play a channel. An engine owns the <video> between load() and destroy() and reports through
// `report(kind, detail)`:
//   "ended"                         the playlist has its end and all of it was played
//   "closed"                        the connection has its end and all of it was played; whether the broadcast
//                                   is over too, it does not know
//   "failed", {reason, status}      it stopped for good; reason is "network", "media" or "format", and
//                                   status the HTTP status behind it, where there is one
// The page decides what follows from that.

import { HlsEngine } from "./hls_engine.js";
import { NativeEngine } from "./native_engine.js";
import { PushEngine } from "./push_engine.js";

/**
 * Find the ways in which this browser plays: hls.js where it has Media Source Extensions, for its low latency, and
 * the browser's own HLS elsewhere; the endless MP4 beside them. `wanted` ("hls", "native" or null) narrows it to one.
 *
 * @returns `modesFor`, a function that takes a stream and gives a Map from each mode that plays it ("lowest", "low",
 *   "stable") to a function from `report` to an engine; and `pastFrom`, one that takes the seconds behind live at which
 *   to play its past and gives such a function, or null where this browser plays none.
 */
export async function findModes(video, hlsModule, wanted) {
  const Hls = wanted !== "native" && hlsModule ? await importHls(hlsModule) : null;
  const hasNative = !Hls && wanted !== "hls" && NativeEngine.isSupported(video);
  const modesFor = (stream) => {
    const modes = new Map();
    if (!wanted && PushEngine.isSupported(stream)) modes.set("lowest", (report) => new PushEngine(video, report));
    if (Hls) {
      modes.set("low", (report) => new HlsEngine(Hls, true, video, report));
      modes.set("stable", (report) => new HlsEngine(Hls, false, video, report));
    } else if (hasNative) {
      // How far behind it plays is the browser's own choice.
      modes.set("low", (report) => new NativeEngine(video, report));
    }
    return modes;
  };
  const pastFrom = (behind) => {
    if (Hls) return (report) => new HlsEngine(Hls, false, video, report, behind);
    return hasNative ? (report) => new NativeEngine(video, report, behind) : null;
  };
  return { modesFor, pastFrom };
}

async function importHls(module) {
  try {
    const { default: Hls } = await import(new URL(module, document.baseURI).href);
    return Hls.isSupported() ? Hls : null;
  } catch (error) {
    console.warn("hls.js did not load", error);
    return null;
  }
}
