// The broadcaster's own recordings: state, title, visibility, link; and their end.

import { choiceField, ask as question, textField } from "../asking.js";
import { on } from "../base.js";
import { copyable } from "../copying.js";
import { byId, element, setText } from "../dom.js";
import { size } from "../format.js";
import { KeyedList } from "../keyed_list.js";
import { say, sayFault } from "../notice.js";
import {
  began,
  isOpen,
  meaningOf,
  RECORDING_STATES,
  runningTime,
  titleOf,
  VISIBILITIES,
  VISIBILITY_NAMES,
} from "../recorded.js";
import { ownRow } from "./own_row.js";
import { act } from "./server.js";

// One that goes on grows, and another may begin.
const REFRESH_MS = 10_000;

export class OwnRecordings {
  /** @type {OwnRecording[]} */
  #shown = [];
  /** @type {string | null} */
  #next = null;
  #generation = 0;
  #timer = 0;
  #state = byId("recordings-state", HTMLSelectElement);
  #list = new KeyedList(
    byId("recordings"),
    (recording) => recording.id,
    (recording) => this.#newRow(recording),
  );

  constructor() {
    this.#state.addEventListener("change", () => this.refresh());
    byId("recordings-more").addEventListener("click", () => this.#more());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#timer) this.refresh();
    });
  }

  /** Read them, now and every now and then. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => document.hidden || this.refresh(), REFRESH_MS);
    this.#generation += 1;
    const generation = this.#generation;
    try {
      const page = await this.#page();
      if (generation !== this.#generation) return;
      const isWhole = page.next_before === null;
      // A reader who has asked for more keeps the rows behind the first page.
      const last = page.recordings.at(-1)?.id ?? "";
      const rest =
        isWhole || this.#shown.length <= page.recordings.length ? [] : this.#shown.filter(({ id }) => id < last);
      if (rest.length === 0) this.#next = page.next_before;
      this.#shown = [...page.recordings, ...rest];
      this.#show(page);
    } catch (error) {
      if (generation === this.#generation) this.#fail(error);
    }
  }

  /** Nothing of them stays on the page. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#generation += 1;
    this.#shown = [];
    this.#next = null;
    this.#state.value = "";
    this.#list.show([]);
    byId("recordings-more").hidden = true;
    byId("recordings-notice").replaceChildren();
  }

  /** @returns {Promise<OwnRecordingPage>} */
  #page(before = "") {
    const query = new URLSearchParams({
      ...(before && { before }),
      ...(this.#state.value && { state: this.#state.value }),
    });
    return act("GET", `recordings?${query}`);
  }

  async #more() {
    const generation = this.#generation;
    try {
      const page = await this.#page(this.#next ?? "");
      if (generation !== this.#generation) return;
      this.#shown = [...this.#shown, ...page.recordings];
      this.#next = page.next_before;
      this.#show(page);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {OwnRecordingPage} page */
  #show({ is_recorded: isRecorded, is_off: isOff }) {
    this.#list.show(this.#shown);
    byId("recordings-more").hidden = this.#next === null;
    const notice = byId("recordings-notice");
    if (this.#shown.length > 0) {
      notice.replaceChildren();
      return;
    }
    if (this.#state.value) this.#say("None of your recordings is in this state", "");
    else if (isRecorded)
      this.#say(
        "You have no recordings yet",
        "Your next broadcast is recorded by itself, and stands here while you are live.",
      );
    else if (isOff)
      this.#say(
        "Nothing of yours is recorded",
        "Recording is off on this server. Whoever runs it can switch it on, for all or for you.",
      );
    else
      this.#say(
        "You have no recordings yet",
        "Your broadcasts are recorded when whoever runs this server begins it while you are live, or decides so for all of yours.",
      );
  }

  /**
   * @param {string} headline
   * @param {string} text
   */
  #say(headline, text) {
    say(byId("recordings-notice"), headline, text);
  }

  /** @param {unknown} error */
  #fail(error) {
    sayFault(byId("recordings-notice"), "Your recordings could not be read", error, () => this.refresh());
  }

  /** @param {OwnRecording} recording */
  #newRow(recording) {
    let now = recording;
    const pill = element("span", { class: "pill" });
    const meaning = element("p", { class: "hint" });
    const row = ownRow(
      on(`watch/vod/${recording.id}`),
      () => this.#change(now),
      () => this.#delete(now),
      { beside: pill, below: meaning },
    );
    return {
      root: row.root,
      /** @param {OwnRecording} fresh */
      update(fresh) {
        now = fresh;
        const { name, level } = RECORDING_STATES[fresh.state] ?? { name: fresh.state, level: "" };
        setText(pill, name);
        pill.dataset.level = level;
        const isDeleted = fresh.state === "deleted";
        row.show(titleOf(fresh), [
          fresh.title && began(fresh.started_at),
          runningTime(fresh.duration_s),
          !isDeleted && size(fresh.bytes),
          !isDeleted && VISIBILITY_NAMES[fresh.visibility],
          fresh.keep && !isDeleted && "Pinned by whoever runs this server",
        ]);
        setText(meaning, meaningOf(fresh));
        row.buttons.hidden = isDeleted;
        row.watching.hidden = fresh.visibility === "private" || fresh.duration_s === 0;
        row.removing.hidden = isOpen(fresh) || fresh.keep;
      },
    };
  }

  /** @param {OwnRecording} recording */
  async #change(recording) {
    const done = await question({
      title: "Your recording",
      body: [copyable("Its link", on(`watch/vod/${recording.id}`), { id: "recording-link" })],
      fields: [
        textField("Title", {
          value: recording.title,
          maxlength: 200,
          hint: `Empty: “${titleOf({ ...recording, title: "" })}”.`,
        }),
        choiceField("Seen by", Object.entries(VISIBILITIES), recording.visibility),
      ],
      confirm: "Save",
      act: (title, visibility) => act("PATCH", `recordings/${recording.id}`, { title, visibility }),
    });
    if (done) this.refresh();
  }

  /** @param {OwnRecording} recording */
  async #delete(recording) {
    const done = await question({
      title: `Delete “${titleOf(recording)}”?`,
      body: [element("p", { class: "callout danger" }, "It goes for good. Whoever watches it now is cut off.")],
      confirm: "Delete the recording",
      isDangerous: true,
      act: () => act("DELETE", `recordings/${recording.id}`),
    });
    if (done) this.refresh();
  }
}
