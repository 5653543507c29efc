// The recordings of all users: how each stands, and what can be done about it.

import { byId, element } from "../dom.js";
import { size } from "../format.js";
import { isOpen, meaningOf, RECORDING_STATES, runningTime, titleOf, VISIBILITY_NAMES } from "../recorded.js";
import { cell, PagedTable, time } from "./list.js";

const TYPING_MS = 300;
// A recording that goes on grows, which no event tells.
const GROWS_MS = 10_000;
const USER_NAME = /^[a-z0-9][a-z0-9_-]{1,63}$/;

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
  #user = byId("recordings-user", HTMLInputElement);
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
        this.#state.value || this.#user.value
          ? ["No such recording", "No recording is of a user who is called exactly so, or none is in this state."]
          : EMPTY[this.#mode],
    });
    this.#state.addEventListener("change", () => this.refresh());
    let typing = 0;
    this.#user.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.refresh(), TYPING_MS);
    });
    setInterval(() => {
      if (this.#hasOpen && client.isSignedIn && !document.hidden && !byId("recordings").hidden) this.follow();
    }, GROWS_MS);
  }

  /** Show the recordings of one user. */
  showUser(name) {
    this.#user.value = name;
    this.#state.value = "";
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
    if (user && !USER_NAME.test(user)) return { recordings: [], next_after: null };
    const page = await client.get("/api/v1/recordings", { user, state: this.#state.value, before, limit });
    this.#mode = page.mode;
    this.#hasOpen = page.recordings.some(isOpen);
    return { ...page, next_after: page.next_before };
  }

  #cells(recording) {
    const { id, user, state, duration_s: seconds } = recording;
    const title = titleOf(recording);
    const act = (label, run, isDangerous = false) =>
      element(
        "button",
        {
          class: `button small${isDangerous ? " danger-text" : ""}`,
          type: "button",
          "aria-label": `${label} the recording ${title} of ${user}`,
          onclick: run,
        },
        label,
      );
    const { name, level } = RECORDING_STATES[state] ?? { name: state, level: "" };
    const meaning = meaningOf(recording);
    const buttons = element("div", { class: "buttons" });
    if (state !== "deleted") {
      const isSeen = seconds > 0 && recording.visibility !== "private";
      if (isSeen)
        buttons.append(
          element(
            "a",
            {
              class: "button small",
              href: `${this.#origin}/watch/vod/${id}`,
              target: "_blank",
              rel: "noopener",
              "aria-label": `Watch the recording ${title} of ${user}`,
            },
            "Watch",
          ),
        );
      buttons.append(act("Change", () => this.#acts.changeRecording(recording)));
      if (state === "recording") buttons.append(act("Stop", () => this.#acts.stopRecording(user), true));
      else if (!isOpen(recording)) buttons.append(act("Delete", () => this.#acts.deleteRecording(recording), true));
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
