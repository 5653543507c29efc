// The figures of a stream that arrives, as tiles.

import { byId, element, setText } from "../dom.js";
import {
  bitrate,
  codecs,
  count,
  encoderName,
  keyframeInterval,
  pictureOrSound,
  totalViewers,
  viewersByProtocol,
} from "../format.js";

const SVG = "http://www.w3.org/2000/svg";
// Five minutes of readings, one a second; the line is as wide as one minute has, and then gets denser.
const READINGS_MAX = 300;
const READINGS_WIDE = 60;

/** The bit rate of the last minutes as a line. */
class Sparkline {
  #line = document.createElementNS(SVG, "polyline");
  #values = [];

  constructor() {
    this.root = document.createElementNS(SVG, "svg");
    this.root.setAttribute("class", "sparkline");
    this.root.setAttribute("preserveAspectRatio", "none");
    this.root.setAttribute("aria-hidden", "true");
    this.root.append(this.#line);
  }

  add(value) {
    this.#values.push(value);
    if (this.#values.length > READINGS_MAX) this.#values.shift();
    const highest = Math.max(...this.#values, 1);
    const width = Math.max(READINGS_WIDE, this.#values.length) - 1;
    const first = width + 1 - this.#values.length;
    this.root.setAttribute("viewBox", `0 0 ${width} 20`);
    this.#line.setAttribute(
      "points",
      this.#values.map((one, at) => `${first + at},${(19 - (one / highest) * 17).toFixed(1)}`).join(" "),
    );
  }

  clear() {
    this.#values = [];
  }
}

export class Figures {
  #tiles = {};
  #sparkline = new Sparkline();
  #liveSince = "";

  constructor() {
    const list = byId("tiles");
    for (const label of ["Viewers", "Bitrate", "Frame rate", "Picture", "Keyframes", "Repaired"]) {
      const value = element("dd");
      const extra = element("dd", { class: "extra" });
      this.#tiles[label] = { value, extra };
      list.append(
        element(
          "div",
          {},
          element("dt", {}, label),
          label === "Bitrate" ? element("dd", { class: "extra" }, this.#sparkline.root) : extra,
          value,
        ),
      );
    }
  }

  show(stream) {
    if (stream.live_since !== this.#liveSince) this.#sparkline.clear();
    this.#liveSince = stream.live_since;
    this.#sparkline.add(stream.bitrate_bps);
    this.#put("Viewers", totalViewers(stream.viewers).toLocaleString("en"), viewersByProtocol(stream.viewers));
    this.#put("Bitrate", stream.bitrate_bps > 0 ? bitrate(stream.bitrate_bps) : "–", "");
    this.#put(
      "Frame rate",
      stream.frame_rate > 0 ? `${stream.frame_rate.toFixed(1)} fps` : "–",
      encoderName(stream.encoder),
    );
    this.#put("Picture", pictureOrSound(stream), codecs(stream.codecs));
    const interval = stream.keyframe_interval_s;
    this.#put("Keyframes", keyframeInterval(interval), interval === null ? "" : "apart");
    this.#put(
      "Repaired",
      stream.timestamps_repaired.toLocaleString("en"),
      stream.tags_dropped > 0 ? `${count(stream.tags_dropped, "piece")} dropped` : "nothing dropped",
    );
  }

  #put(label, value, extra) {
    setText(this.#tiles[label].value, value);
    setText(this.#tiles[label].extra, extra);
  }
}
