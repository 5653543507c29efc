// The clips of all users: their sources, their makers, and the acts on them.

import { element } from "../dom.js";
import { size } from "../format.js";
import { began, runningTime } from "../recorded.js";
import { cell, PagedTable, time } from "./list.js";
import { actButton, watchLink } from "./row_parts.js";
import { UserFilter } from "./user_filter.js";

/** @param clip of the API */
export const clipTitle = (clip) => clip.title || `Clip of ${began(clip.started_at)}`;

export class ClipsView {
  #table;
  #acts;
  #origin;
  #user = new UserFilter("clips-user", () => this.refresh());

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
        this.#user.name
          ? ["No such clip", "No clip is of a user who is called exactly so."]
          : ["There are no clips yet", "Who may make some says [clips] who in the configuration."],
    });
  }

  /** Show the clips of one user. */
  showUser(name) {
    this.#user.name = name;
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #load(client, before, limit) {
    const user = this.#user.name;
    if (this.#user.isImpossible) return { clips: [], next_after: null };
    const page = await client.get("/api/v1/clips", { ...(user && { user }), before, limit });
    return { ...page, next_after: page.next_before };
  }

  #cells(clip) {
    const { id, user } = clip;
    const title = clipTitle(clip);
    const subject = `the clip ${title} of ${user}`;
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
          watchLink(`${this.#origin}/clip/${id}`, subject),
          actButton("Change", subject, () => this.#acts.changeClip(clip)),
          actButton("Delete", subject, () => this.#acts.deleteClip(clip), true),
        ),
      ),
    ];
  }
}
