// The clips of the broadcaster's channel, whoever made them: their titles, their links; and their end.

import { ask as question, textField } from "../asking.js";
import { on } from "../base.js";
import { copyable } from "../copying.js";
import { byId, element } from "../dom.js";
import { KeyedList } from "../keyed_list.js";
import { say, sayFault } from "../notice.js";
import { began, runningTime } from "../recorded.js";
import { ownRow } from "./own_row.js";
import { act } from "./server.js";

/** @param {OwnClip} clip */
const named = (clip) => clip.title || `Clip of ${began(clip.started_at)}`;

export class OwnClips {
  /** @type {OwnClip[]} */
  #shown = [];
  /** @type {string | null} */
  #next = null;
  #generation = 0;
  #list = new KeyedList(
    byId("clips"),
    (clip) => clip.id,
    (clip) => this.#newRow(clip),
  );

  constructor() {
    byId("clips-more").addEventListener("click", () => this.#read(this.#next ?? ""));
  }

  /** Read them again, from the newest on. */
  refresh() {
    return this.#read("");
  }

  /** Nothing of them stays on the page. */
  clear() {
    this.#generation += 1;
    this.#shown = [];
    this.#next = null;
    this.#list.show([]);
    byId("clips-section").hidden = true;
    byId("clips-notice").replaceChildren();
  }

  /** @param {string} before */
  async #read(before) {
    this.#generation += 1;
    const generation = this.#generation;
    try {
      /** @type {OwnClipPage} */
      const page = await act("GET", `clips?${new URLSearchParams(before ? { before } : {})}`);
      if (generation !== this.#generation) return;
      this.#shown = before ? [...this.#shown, ...page.clips] : page.clips;
      this.#next = page.next_before;
      // Where nobody may make any, and nobody has, there is nothing to be told.
      byId("clips-section").hidden = this.#shown.length === 0 && !page.may_make;
      if (this.#shown.length === 0) say(byId("clips-notice"), "There are no clips of your channel yet");
      else byId("clips-notice").replaceChildren();
      this.#list.show(this.#shown);
      byId("clips-more").hidden = this.#next === null;
    } catch (error) {
      if (generation !== this.#generation) return;
      byId("clips-section").hidden = false;
      sayFault(byId("clips-notice"), "Your clips could not be read", error, () => this.refresh());
    }
  }

  /** @param {OwnClip} clip */
  #newRow(clip) {
    let now = clip;
    const row = ownRow(
      on(`clip/${clip.id}`),
      () => this.#change(now),
      () => this.#delete(now),
    );
    return {
      root: row.root,
      /** @param {OwnClip} fresh */
      update(fresh) {
        now = fresh;
        row.show(named(fresh), [fresh.title && began(fresh.started_at), runningTime(fresh.duration_s)]);
      },
    };
  }

  /** @param {OwnClip} clip */
  async #change(clip) {
    const done = await question({
      title: "A clip of your channel",
      body: [copyable("Its link", on(`clip/${clip.id}`), { id: "clip-link" })],
      fields: [textField("Title", { value: clip.title, maxlength: 200, hint: "Its page shows it." })],
      confirm: "Save",
      act: (title) => act("PATCH", `clips/${clip.id}`, { title }),
    });
    if (done) this.refresh();
  }

  /** @param {OwnClip} clip */
  async #delete(clip) {
    const done = await question({
      title: `Delete “${named(clip)}”?`,
      body: [element("p", { class: "callout danger" }, "It goes for good. What it was made of stays.")],
      confirm: "Delete the clip",
      isDangerous: true,
      act: () => act("DELETE", `clips/${clip.id}`),
    });
    if (done) this.refresh();
  }
}
