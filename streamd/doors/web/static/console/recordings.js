// The recordings of all users: how each stands, and what can be done about it.

import { byId, element } from "../dom.js";
import { size } from "../format.js";
import { isOpen, meaningOf, RECORDING_STATES, runningTime, titleOf, VISIBILITY_NAMES } from "../recorded.js";
import { cell, PagedTable, time } from "./list.js";
import { actButton, watchLink } from "./row_parts.js";
import { UserFilter } from "./user_filter.js";

// A recording that goes on grows, which no event tells.
const GROWS_MS = 10_000;

const WATCHED_BY = { public: "For everybody", signed: "Signed links", password: "Password", hook: "Your service" };

const EMPTY = {
  off: [
    "Recording is off",
    "Set [recording] mode to asked or all in the configuration, or have one user recorded: Users → Settings.",
  ],
  asked: [
    "Nothing has been recorded yet",
    "Press Record at a stream that is live, or have a user recorded: Users → Settings.",
  ],
  all: ["Nothing has been recorded yet", "The next broadcast is recorded by itself."],
};

export class RecordingsView {
  #table;
  #acts;
  #origin;
  #user = new UserFilter("recordings-user", () => this.refresh());
  #state = byId("recordings-state", HTMLSelectElement);
  /** @type {"off" | "asked" | "all"} */
  #mode = "off";
  #hasOpen = false;

  /** @param origin of the public port, where recordings are watched */
  constructor(client, acts, origin) {
    this.#acts = acts;
    this.#origin = origin;
    this.#state.append(
      ...Object.entries(RECORDING_STATES).map(([value, { name }]) => element("option", { value }, name)),
    );
    this.#table = new PagedTable("recordings", {
      load: (before, limit) => this.#load(client, before, limit),
      items: (page) => page.recordings,
      keyOf: (recording) => recording.id,
      cellsOf: (recording) => this.#cells(recording),
      empty: () =>
        this.#state.value || this.#user.name
          ? ["No such recording", "No recording is of a user who is called exactly so, or none is in this state."]
          : EMPTY[this.#mode],
    });
    this.#state.addEventListener("change", () => this.refresh());
    setInterval(() => {
      if (this.#hasOpen && client.isSignedIn && !document.hidden && !byId("recordings").hidden) this.follow();
    }, GROWS_MS);
  }

  /** Show the recordings of one user. */
  showUser(name) {
    this.#user.name = name;
    this.#state.value = "";
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #load(client, before, limit) {
    if (this.#user.isImpossible) return { recordings: [], next_after: null };
    const user = this.#user.name;
    const page = await client.get("/api/v1/recordings", { user, state: this.#state.value, before, limit });
    this.#mode = page.mode;
    this.#hasOpen = page.recordings.some(isOpen);
    return { ...page, next_after: page.next_before };
  }

  #cells(recording) {
    const { id, user, state, duration_s: seconds } = recording;
    const title = titleOf(recording);
    const subject = `the recording ${title} of ${user}`;
    const { name, level } = RECORDING_STATES[state] ?? { name: state, level: "" };
    const meaning = meaningOf(recording);
    const buttons = element("div", { class: "buttons" });
    if (state !== "deleted") {
      const isSeen = seconds > 0 && recording.visibility !== "private";
      if (isSeen) buttons.append(watchLink(`${this.#origin}/watch/vod/${id}`, subject));
      buttons.append(actButton("Change", subject, () => this.#acts.changeRecording(recording)));
      if (state === "recording") buttons.append(actButton("Stop", subject, () => this.#acts.stopRecording(user), true));
      else if (!isOpen(recording))
        buttons.append(actButton("Delete", subject, () => this.#acts.deleteRecording(recording), true));
    }
    return [
      cell("Recording", element("strong", {}, title), element("span", { class: "extra" }, element("code", {}, id))),
      cell("User", element("a", { href: `#/users/${user}` }, user)),
      cell(
        "State",
        element("span", { class: "pill", "data-level": level }, name),
        meaning ? element("span", { class: "extra" }, meaning) : null,
      ),
      cell("Began", time(recording.started_at)),
      cell("Length", runningTime(seconds), element("span", { class: "extra" }, size(recording.bytes))),
      cell(
        "Seen by",
        VISIBILITY_NAMES[recording.visibility],
        recording.playback ? element("span", { class: "extra" }, WATCHED_BY[recording.playback]) : null,
        recording.keep ? element("span", { class: "extra" }, "Pinned") : null,
      ),
      element("td", { class: "acts" }, buttons),
    ];
  }
}
