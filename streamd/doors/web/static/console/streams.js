// The streams that are live now: what arrives, how well, who watches; and what can be done about it.

import { byId, element, setText } from "../dom.js";
import {
  bitrate,
  codecs,
  count,
  encoderName,
  keyframeInterval,
  picture,
  pictureOrSound,
  totalViewers,
  viewersByProtocol,
} from "../format.js";
import { Findings, HealthBadge } from "../health.js";
import { KeyedList } from "../keyed_list.js";
import { say } from "../notice.js";
import { elapsed } from "../viewer_format.js";
import { Preview } from "./preview.js";
import { sorted } from "./sorting.js";

// A row that went dark is left to be read, and then goes.
const DARK_MS = 8_000;
// From so many rows on, a search field is more help than in the way.
const FILTER_FROM = 6;

class StreamRow {
  #stream;
  #origin;
  #acts;
  /** @type {Preview | null} */
  #preview = null;
  #health = new HealthBadge();
  #findings = new Findings();
  #facts = {};
  #state = element("p", { class: "stream-facts" });
  #figures = element("p", { class: "stream-facts when-dense" });
  #previewButton;
  #moreButton;
  #recordButton;
  #buttons;
  #media = element("div", { class: "stream-media" });

  constructor(stream, acts, origin) {
    this.#stream = stream;
    this.#origin = origin;
    this.#acts = acts;
    const act = (label, name, run, isDangerous = false) =>
      element(
        "button",
        {
          class: `button small${isDangerous ? " danger-text" : ""}`,
          type: "button",
          "aria-label": `${name} ${stream.name}`,
          onclick: run,
        },
        label,
      );
    this.#previewButton = act("Preview", "Preview of", () => this.#togglePreview());
    this.#previewButton.setAttribute("aria-expanded", "false");
    this.#moreButton = act("Details", "Details of", () => {
      const isOpen = this.root.toggleAttribute("data-open");
      this.#moreButton.setAttribute("aria-expanded", String(isOpen));
    });
    this.#moreButton.setAttribute("aria-expanded", "false");
    this.#moreButton.classList.add("when-dense");
    this.#recordButton = act("Record", "Record", () =>
      this.#stream.recording_id ? acts.stopRecording(this.#stream.name) : acts.startRecording(this.#stream),
    );
    // A line of many has room for what is urgent.
    this.#recordButton.classList.add("when-open");
    this.#buttons = element(
      "div",
      { class: "buttons" },
      this.#previewButton,
      this.#moreButton,
      this.#recordButton,
      act("Kick", "Kick", () => acts.kickStream(this.#stream)),
      act(
        "Revoke key",
        "Revoke key of",
        () => acts.revokeKey({ id: this.#stream.key_id, user: this.#stream.name }),
        true,
      ),
      act("Suspend", "Suspend the user", () => acts.suspendUser({ name: this.#stream.name }), true),
    );
    const fact = (label) => {
      const value = element("dd");
      const extra = element("dd", { class: "extra" });
      this.#facts[label] = { value, extra };
      return element("div", {}, element("dt", {}, label), value, extra);
    };
    this.root = element(
      "li",
      { class: "stream" },
      element(
        "div",
        { class: "stream-head" },
        element(
          "h2",
          {},
          element(
            "a",
            { href: `${origin}/watch/${encodeURIComponent(stream.name)}`, target: "_blank", rel: "noopener" },
            stream.name,
          ),
        ),
        this.#health.root,
        this.#state,
        this.#figures,
        this.#buttons,
      ),
      element(
        "dl",
        { class: "facts-grid" },
        fact("Viewers"),
        fact("Bitrate"),
        fact("Picture"),
        fact("Keyframes"),
        fact("Encoder"),
        fact("Key"),
      ),
      this.#findings.root,
      this.#media,
    );
    this.root.dataset.stream = stream.name;
  }

  update(stream) {
    this.#stream = stream;
    delete this.root.dataset.dark;
    this.#health.update(stream.health);
    this.#findings.update(stream.health);
    const viewers = totalViewers(stream.viewers);
    const isRecorded = stream.recording_id !== null;
    setText(this.#state, `live for ${elapsed(stream.live_since)}${isRecorded ? " · recorded" : ""}`);
    setText(this.#recordButton, isRecorded ? "Stop recording" : "Record");
    this.#recordButton.setAttribute("aria-label", `${isRecorded ? "Stop recording" : "Record"} ${stream.name}`);
    setText(
      this.#figures,
      [count(viewers, "viewer"), bitrate(stream.bitrate_bps), picture(stream)].filter(Boolean).join(" · "),
    );
    this.#put("Viewers", viewers.toLocaleString("en"), viewersByProtocol(stream.viewers));
    this.#put("Bitrate", stream.bitrate_bps > 0 ? bitrate(stream.bitrate_bps) : "–", codecs(stream.codecs));
    this.#put("Picture", pictureOrSound(stream), stream.frame_rate > 0 ? `${stream.frame_rate.toFixed(1)} fps` : "");
    const interval = stream.keyframe_interval_s;
    this.#put("Keyframes", keyframeInterval(interval), interval === null ? "" : "apart");
    this.#put("Encoder", encoderName(stream.encoder) || "–", stream.publisher_address);
    this.#put("Key", stream.key_id, "");
  }

  /** The stream is not live any more: say so for a while, then go. */
  remove() {
    this.root.dataset.dark = "";
    this.#preview?.end("The stream has ended");
    setText(this.#state, "Dark");
    this.#buttons.remove();
    setTimeout(() => {
      this.#preview?.remove();
      this.root.remove();
    }, DARK_MS);
  }

  #put(label, value, extra) {
    setText(this.#facts[label].value, value);
    setText(this.#facts[label].extra, extra);
  }

  #togglePreview() {
    if (this.#preview) {
      this.#preview.remove();
      this.#preview = null;
    } else {
      const preview = new Preview(this.#stream, this.#origin, () => this.#acts.previewTicket(this.#stream));
      this.#preview = preview;
      this.#media.append(preview.root);
    }
    this.#previewButton.setAttribute("aria-expanded", String(this.#preview !== null));
    const [label, name] = this.#preview ? ["Hide", "Hide the preview"] : ["Preview", "Preview"];
    this.#previewButton.textContent = label;
    this.#previewButton.setAttribute("aria-label", `${name} of ${this.#stream.name}`);
  }
}

/**
 * Whether a row is what was searched for; one that has just gone dark is told of in any case.
 *
 * @param {Element} row
 * @param {Set<string>} names
 */
function isFound(row, names) {
  return row.hasAttribute("data-dark") || names.has(row.getAttribute("data-stream") ?? "");
}

export class StreamsView {
  /** @type {LiveStream[] | null} */
  #streams = null;
  #rows;
  #filter = byId("live-filter", HTMLInputElement);
  #order = byId("live-order", HTMLSelectElement);
  #tiles = {};

  constructor(acts, origin) {
    const list = byId("streams");
    // A broadcast that begins anew is another row, beside the one that went dark.
    this.#rows = new KeyedList(
      list,
      (stream) => `${stream.name} ${stream.live_since}`,
      (stream) => new StreamRow(stream, acts, origin),
    );
    this.#filter.addEventListener("input", () => this.#show());
    this.#order.addEventListener("change", () => this.#show());
    for (const label of ["Live", "Viewers", "Coming in", "Going out"]) {
      this.#tiles[label] = element("dd", {}, "–");
      byId("tiles").append(element("div", {}, element("dt", {}, label), this.#tiles[label]));
    }
  }

  /** The live streams, as they are now. */
  get streams() {
    return this.#streams ?? [];
  }

  update(streams) {
    this.#streams = streams;
    this.#show();
  }

  showSample(sample) {
    setText(this.#tiles["Going out"], bitrate(sample.egress_bps));
  }

  #show() {
    const streams = this.streams;
    const sum = (value) => streams.reduce((all, stream) => all + value(stream), 0);
    setText(this.#tiles.Live, streams.length.toLocaleString("en"));
    setText(this.#tiles.Viewers, sum((stream) => totalViewers(stream.viewers)).toLocaleString("en"));
    setText(this.#tiles["Coming in"], bitrate(sum((stream) => stream.bitrate_bps)));
    byId("live-toolbar").hidden = streams.length < FILTER_FROM && !this.#filter.value;
    const text = this.#filter.value.trim().toLowerCase();
    const shown = streams.filter((stream) =>
      `${stream.name} ${stream.key_id} ${stream.publisher_address}`.toLowerCase().includes(text),
    );
    // So many are a list to look through, and each of them opens.
    byId("streams").toggleAttribute("data-dense", streams.length >= FILTER_FROM);
    this.#rows.show(sorted(streams, this.#order.value));
    // Hidden, not removed: to be removed is to go dark.
    const names = new Set(shown.map((stream) => stream.name));
    for (const row of byId("streams").children) row.toggleAttribute("hidden", !isFound(row, names));
    const notice = byId("live-notice");
    if (streams.length === 0) {
      say(
        notice,
        "Nobody is live right now",
        "Streams appear here by themselves. To let somebody broadcast, issue a key.",
        element("a", { class: "button primary", href: "#/keys" }, "Go to the keys"),
      );
    } else if (shown.length === 0) {
      say(notice, "No stream matches", `${count(streams.length, "stream is", "streams are")} live.`);
    } else {
      notice.replaceChildren();
    }
  }
}
