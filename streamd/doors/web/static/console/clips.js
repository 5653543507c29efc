// The clips of all users: of what, who made them, and what can be done about them.

import { byId, element } from "../dom.js";
import { size } from "../format.js";
import { began, runningTime } from "../recorded.js";
import { cell, PagedTable, time } from "./list.js";

const TYPING_MS = 300;
const USER_NAME = /^[a-z0-9][a-z0-9_-]{1,63}$/;

/** @param clip of the API */
export const clipTitle = (clip) => clip.title || `Clip of ${began(clip.started_at)}`;

export class ClipsView {
  #table;
  #acts;
  #origin;
  #user = byId("clips-user", HTMLInputElement);

  /** @param origin of the public port, where clips are watched */
  constructor(client, acts, origin) {
    this.#acts = acts;
    this.#origin = origin;
    this.#table = new PagedTable("clips", {
      load: (before, limit) => this.#load(client, before, limit),
      items: (page) => page.clips,
      keyOf: (clip) => clip.id,
      cellsOf: (clip) => this.#cells(clip),
      empty: () =>
        this.#user.value
          ? ["No such clip", "No clip is of a user who is called exactly so."]
          : ["There are no clips yet", "Who may make some says [clips] who in the configuration."],
    });
    let typing = 0;
    this.#user.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.refresh(), TYPING_MS);
    });
  }

  /** Show the clips of one user. */
  showUser(name) {
    this.#user.value = name;
  }

  refresh() {
    return this.#table.refresh();
  }

  /** What stands there may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #load(client, before, limit) {
    const user = this.#user.value.trim();
    if (user && !USER_NAME.test(user)) return { clips: [], next_after: null };
    const page = await client.get("/api/v1/clips", { ...(user && { user }), before, limit });
    return { ...page, next_after: page.next_before };
  }

  #cells(clip) {
    const { id, user } = clip;
    const title = clipTitle(clip);
    const act = (label, run, isDangerous = false) =>
      element(
        "button",
        {
          class: `button small${isDangerous ? " danger-text" : ""}`,
          type: "button",
          "aria-label": `${label} the clip ${title} of ${user}`,
          onclick: run,
        },
        label,
      );
    const watch = element(
      "a",
      {
        class: "button small",
        href: `${this.#origin}/clip/${id}`,
        target: "_blank",
        rel: "noopener",
        "aria-label": `Watch the clip ${title} of ${user}`,
      },
      "Watch",
    );
    return [
      cell("Clip", element("strong", {}, title), element("span", { class: "extra" }, element("code", {}, id))),
      cell("User", element("a", { href: `#/users/${user}` }, user)),
      cell("Made", time(clip.created_at), element("span", { class: "extra" }, `by ${clip.created_by}`)),
      cell("Length", runningTime(clip.duration_s), element("span", { class: "extra" }, size(clip.bytes))),
      element(
        "td",
        { class: "acts" },
        element(
          "div",
          { class: "buttons" },
          watch,
          act("Change", () => this.#acts.changeClip(clip)),
          act("Delete", () => this.#acts.deleteClip(clip), true),
        ),
      ),
    ];
  }
}
