// The broadcaster's own recordings: how each stands, its title, who sees it, its link; and its end.

import { choiceField, messageOf, ask as question, textField } from "../asking.js";
import { on } from "../base.js";
import { copyable } from "../copying.js";
import { byId, element, setText } from "../dom.js";
import { size } from "../format.js";
import { KeyedList } from "../keyed_list.js";
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
      // Whoever has asked for more keeps what stands behind the first page.
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
   * @param {(Node | string)[]} more
   */
  #say(headline, text, ...more) {
    byId("recordings-notice").replaceChildren(
      element("p", { class: "notice-head" }, headline),
      ...(text ? [element("p", {}, text)] : []),
      ...more,
    );
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#say(
      "Your recordings could not be read",
      messageOf(error),
      element("button", { class: "button", type: "button", onclick: () => this.refresh() }, "Try again"),
    );
  }

  /** @param {OwnRecording} recording */
  #newRow(recording) {
    let now = recording;
    const title = element("strong");
    const pill = element("span", { class: "pill" });
    const facts = element("p", { class: "hint" });
    const meaning = element("p", { class: "hint" });
    const watch = element("a", { class: "button small", target: "_blank", rel: "noopener" }, "Watch");
    watch.href = on(`watch/vod/${recording.id}`);
    const change = element(
      "button",
      { class: "button small", type: "button", onclick: () => this.#change(now) },
      "Change",
    );
    const remove = element(
      "button",
      { class: "button small danger-text", type: "button", onclick: () => this.#delete(now) },
      "Delete",
    );
    const buttons = element("div", { class: "buttons" }, watch, change, remove);
    const root = element(
      "li",
      {},
      element("div", { class: "what" }, element("p", { class: "recording-title" }, title, " ", pill), facts, meaning),
      buttons,
    );
    return {
      root,
      /** @param {OwnRecording} fresh */
      update(fresh) {
        now = fresh;
        const named = titleOf(fresh);
        const { name, level } = RECORDING_STATES[fresh.state] ?? { name: fresh.state, level: "" };
        setText(title, named);
        setText(pill, name);
        pill.dataset.level = level;
        const isDeleted = fresh.state === "deleted";
        const parts = [
          fresh.title && began(fresh.started_at),
          runningTime(fresh.duration_s),
          !isDeleted && size(fresh.bytes),
          !isDeleted && VISIBILITY_NAMES[fresh.visibility],
          fresh.keep && !isDeleted && "Pinned by whoever runs this server",
        ];
        setText(facts, parts.filter(Boolean).join(" · "));
        setText(meaning, meaningOf(fresh));
        buttons.hidden = isDeleted;
        watch.hidden = fresh.visibility === "private" || fresh.duration_s === 0;
        remove.hidden = isOpen(fresh) || fresh.keep;
        for (const [button, does] of /** @type {const} */ ([
          [watch, "Watch"],
          [change, "Change"],
          [remove, "Delete"],
        ])) {
          button.setAttribute("aria-label", `${does} “${named}”`);
        }
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
