// The recordings of a channel, under its player: there is something to see also while it is off the air.

import { on, TICKET_FIELDS } from "./base.js";
import { byId, element, setText } from "./dom.js";
import { KeyedList } from "./keyed_list.js";
import { began, isOpen, meaningOf, RECORDING_STATES, runningTime, titleOf } from "./recorded.js";

const REQUEST_TIMEOUT_MS = 10_000;
// A broadcast that ends leaves a recording behind; while one goes on, it grows.
const REFRESH_MS = 30_000;
const RETRY_MS = 5_000;

const { body } = document;

/** @returns {import("./keyed_list.js").KeyedList<ChannelRecording>} */
function listOf(container) {
  return new KeyedList(
    container,
    (recording) => recording.id,
    (recording) => {
      const title = element("strong");
      const state = element("span", { class: "recording-state" });
      const facts = element("span", { class: "recording-facts" });
      const picture = element("img", { class: "recording-picture", alt: "", loading: "lazy", decoding: "async" });
      picture.hidden = true;
      picture.addEventListener("load", () => {
        picture.hidden = false;
      });
      const link = element("a", { class: "recording" }, picture, title, state, facts);
      link.href = on(`watch/vod/${recording.id}`);
      return {
        root: element("li", {}, link),
        /** @param {ChannelRecording} now */
        update(now) {
          setText(title, titleOf(now));
          // A recording that is as it should be needs no word.
          setText(state, now.state === "ready" ? "" : (RECORDING_STATES[now.state]?.name ?? now.state));
          state.dataset.state = now.state;
          // There is one when it is complete.
          const isComplete = !isOpen(now);
          if (isComplete && !picture.src) picture.src = on(`vod/${now.id}/poster.jpg`);
          const about = [now.title && began(now.started_at), runningTime(now.duration_s), meaningOf(now)];
          setText(facts, about.filter(Boolean).join(" · "));
        },
      };
    },
  );
}

/** The list of a channel's recordings; it looks by itself, and when the page changes its state. */
export class ChannelRecordings {
  #channel;
  #section = byId("recordings-section");
  #list = listOf(byId("recordings"));
  /** @type {ChannelRecording[]} */
  #shown = [];
  /** @type {string | null} */
  #next = null;
  #timer = 0;
  #isAsking = false;

  /** @param {string} channel */
  constructor(channel) {
    this.#channel = channel;
    byId("recordings-more").addEventListener("click", () => this.#more());
    byId("recordings-retry").addEventListener("click", () => this.refresh());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.refresh();
    });
    // "It has ended" is the moment in which whoever watched looks for it.
    let state = body.dataset.state;
    new MutationObserver(() => {
      if (body.dataset.state === state) return;
      state = body.dataset.state;
      if (state !== "connecting") this.refresh();
    }).observe(body, { attributeFilter: ["data-state"] });
    this.refresh();
  }

  async refresh() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const page = await this.#page();
    this.#isAsking = false;
    if (page === "gone") return this.#hide();
    if (page) {
      // A reader who has asked for more keeps the rows behind the first page.
      const last = page.recordings.at(-1)?.id ?? "";
      const rest = page.next_before === null ? [] : this.#shown.filter(({ id }) => id < last);
      if (rest.length === 0) this.#next = page.next_before;
      this.#show([...page.recordings, ...rest]);
    }
    this.#fail(!page);
    this.#plan(page ? REFRESH_MS : RETRY_MS);
  }

  async #more() {
    const page = await this.#page(this.#next ?? "");
    if (page === "gone") return this.#hide();
    this.#fail(!page);
    if (!page) return;
    this.#next = page.next_before;
    const known = new Set(this.#shown.map(({ id }) => id));
    this.#show([...this.#shown, ...page.recordings.filter(({ id }) => !known.has(id))]);
  }

  /**
   * @param {string} before
   * @returns {Promise<ChannelRecordingPage | "gone" | null>} null where the server does not answer
   */
  async #page(before = "") {
    try {
      const path = `api/v1/streams/${encodeURIComponent(this.#channel)}/recordings`;
      const answer = await fetch(on(before ? `${path}?before=${before}` : path), {
        headers: { accept: "application/json", ...TICKET_FIELDS },
        cache: "no-store",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      if (answer.ok) return await answer.json();
      return answer.status === 410 || answer.status === 404 ? "gone" : null;
    } catch {
      return null;
    }
  }

  /** @param {ChannelRecording[]} recordings */
  #show(recordings) {
    this.#shown = recordings;
    this.#list.show(recordings);
    byId("recordings-more").hidden = this.#next === null;
    const isEmpty = recordings.length === 0;
    byId("recordings-empty").hidden = !isEmpty;
    // A viewer who watches has something to see; one who waits is told that there is nothing else.
    this.#section.hidden = isEmpty && body.dataset.state !== "offline" && body.dataset.state !== "ended";
  }

  /** @param {boolean} hasFailed */
  #fail(hasFailed) {
    byId("recordings-failed").hidden = !hasFailed;
    // A viewer of a live stream is not told of a list that they have not asked for.
    if (hasFailed && body.dataset.state === "offline") this.#section.hidden = false;
    if (hasFailed && this.#shown.length === 0) byId("recordings-empty").hidden = true;
  }

  #hide() {
    this.#section.hidden = true;
    this.#plan(REFRESH_MS);
  }

  /** @param {number} ms */
  #plan(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => document.hidden || this.refresh(), ms);
  }
}
