// The acts of an operator on a key, a user or a stream. Every question names what will go dark.

import { ask, choiceField, textField } from "../asking.js";
import { element } from "../dom.js";
import { count, PICTURE_SIZES, pictureSize, totalViewers } from "../format.js";
import { titleOf, VISIBILITIES } from "../recorded.js";
import { elapsed } from "../viewer_format.js";
import { clipTitle } from "./clips.js";
import { showKey, tell } from "./dialogs.js";
import { showTargets } from "./targets.js";

const REASON = { maxlength: 500, hint: "For the audit log; the broadcaster does not see it." };
const DAY_S = 86_400;
/** @type {[string, string][]} */
const LISTED = [
  ["true", "Yes"],
  ["false", "No: it plays for whoever has its link"],
];
/** @type {[string, string][]} */
const RECORDED = [
  ["null", "As the server’s configuration says"],
  ["true", "Always, from the next one on"],
  ["false", "Never, from the next one on"],
];

/** @type {[string, string][]} */
const WATCHED = [
  ["public", "Everybody"],
  ["signed", "Whoever has a signed link"],
  ["password", "Whoever types the password"],
  ["hook", "Whom your service lets in"],
];

/** Who may watch, and with which password. */
function watchingFields(policy, unsaid) {
  return [
    choiceField("Who may watch", [["", unsaid], ...WATCHED], policy ?? ""),
    textField("Password", {
      type: "password",
      autocomplete: "new-password",
      maxlength: 128,
      hint: "For those who type one, 4 characters or more; empty: the one it has. A new one cuts whoever watches by the old one.",
    }),
  ];
}

/** The changes alone; viewers without the password or token that is needed from now on are cut. */
function watchingChange(before, policy, password) {
  if (policy === "password" && password) return { playback: { policy, password } };
  return policy === (before ?? "") ? {} : { playback: policy || null };
}

/** The warning before a key or user stops to work: which streams end, and in front of how many. */
function goesDark(streams) {
  if (streams.length === 0) return element("p", { class: "callout" }, "Nothing is live with it now.");
  const items = streams.map((stream) =>
    element(
      "li",
      {},
      element("strong", {}, stream.name),
      ` – live for ${elapsed(stream.live_since)}, ${count(totalViewers(stream.viewers), "viewer")}`,
    ),
  );
  return element(
    "div",
    { class: "callout danger" },
    element("p", {}, "This goes dark at once:"),
    element("ul", {}, ...items),
  );
}

/** Tell what was taken down, and what of it the key store does not have yet. */
function tellTakedown(text, { closed = [], unwritten = "" }) {
  const dark = closed.length > 0 ? ` Dark now: ${closed.join(", ")}.` : "";
  tell(`${text}${dark}${unwritten && ` Note: ${unwritten}.`}`);
}

export class Acts {
  #client;
  #live;

  /** @param live returns the live streams, as they are now */
  constructor(client, live) {
    this.#client = client;
    this.#live = live;
  }

  async issueKey(user = "") {
    const key = await ask({
      title: "Issue a stream key",
      fields: [
        textField("User", {
          value: user,
          required: true,
          pattern: "[a-z0-9][a-z0-9_\\-]{1,63}",
          title: "2 to 64 small letters, digits, - and _",
          hint: "Also the name of the channel. One that is new is created.",
        }),
        textField("Label", { maxlength: 100, hint: "What it is for, in your words. May stay empty." }),
        choiceField("Expires", [
          ["", "Never"],
          [1, "In 1 day"],
          [7, "In 7 days"],
          [30, "In 30 days"],
          [90, "In 90 days"],
        ]),
      ],
      confirm: "Issue the key",
      act: (name, label, days) =>
        this.#client.post("/api/v1/keys", {
          user: name,
          label,
          expires_at: days ? new Date(Date.now() + Number(days) * DAY_S * 1000).toISOString() : null,
        }),
    });
    if (key) await showKey(key);
  }

  async rotateKey(key) {
    const streams = this.#streamsOf(key.id);
    const body = [element("p", {}, `${key.user} gets a new key with the same label and expiry.`)];
    if (streams.length > 0) {
      body.push(
        element(
          "p",
          { class: "callout warning" },
          `${key.user} is live with the old key, and goes dark when it stops to work.`,
        ),
      );
    }
    const fresh = await ask({
      title: `Rotate the key of ${key.user}`,
      body,
      fields: [
        choiceField("The old key stops to work", [
          [0, "At once"],
          [600, "In 10 minutes"],
          [3600, "In an hour"],
          [DAY_S, "In a day"],
        ]),
      ],
      confirm: "Rotate the key",
      act: (overlap) => this.#client.post(`/api/v1/keys/${key.id}/rotate`, { overlap_s: Number(overlap) }),
    });
    if (fresh) await showKey(fresh);
  }

  async revokeKey(key) {
    const streams = this.#streamsOf(key.id);
    const done = await ask({
      title: `Revoke the key of ${key.user}?`,
      body: [goesDark(streams), element("p", {}, "The key ", element("code", {}, key.id), " never works again.")],
      fields: [textField("Reason", REASON)],
      confirm: streams.length > 0 ? "Revoke, and end the stream" : "Revoke the key",
      isDangerous: true,
      act: (reason) => this.#client.post(`/api/v1/keys/${key.id}/revoke`, { reason }),
    });
    if (done) tellTakedown("Revoked.", done);
  }

  async suspendUser(user) {
    const streams = this.#live().filter((stream) => stream.name === user.name);
    const done = await ask({
      title: `Suspend ${user.name}?`,
      body: [
        goesDark(streams),
        element(
          "p",
          {},
          "None of the user’s keys opens a stream until the user is restored. Viewers read that the channel has been taken down.",
        ),
      ],
      fields: [textField("Reason", REASON)],
      confirm: "Suspend",
      isDangerous: true,
      act: (reason) => this.#client.patch(`/api/v1/users/${user.name}`, { state: "suspended", reason }),
    });
    if (done) tellTakedown(`${user.name} is suspended.`, done);
  }

  async restoreUser(user) {
    const done = await ask({
      title: `Restore ${user.name}?`,
      body: [element("p", {}, "The user’s keys work again, so far as they are active.")],
      fields: [textField("Reason", REASON)],
      confirm: "Restore",
      act: (reason) => this.#client.patch(`/api/v1/users/${user.name}`, { state: "active", reason }),
    });
    if (done) tell(`${user.name} may broadcast again.`);
  }

  /** Set what a user may send, whether the channel is listed and recorded, and who may watch it. */
  async setUser(user) {
    const { bitrate_kbps_max: kbps, picture_pixels_max: pixels } = user.limits;
    const isNamed = !pixels || PICTURE_SIZES.some(([named]) => named === pixels);
    /** @type {[string | number, string][]} */
    const sizes = [["", "As everybody"], ...PICTURE_SIZES];
    if (!isNamed) sizes.push([pixels, pictureSize(pixels)]);
    const done = await ask({
      title: `Settings of ${user.name}`,
      fields: [
        textField("Bit rate, kb/s", {
          value: kbps ?? "",
          type: "number",
          min: 100,
          hint: "Picture and sound, over five seconds; empty: as everybody. A stream that sends more ends, and says why, also one that is live now. Allow a third more than is set in OBS: an encoder catches up after a bad moment.",
        }),
        choiceField("Largest picture", sizes, pixels ?? ""),
        choiceField("In the public list", LISTED, String(user.listed)),
        choiceField("Broadcasts are recorded", RECORDED, String(user.record)),
        ...watchingFields(user.playback, "As the server’s configuration says"),
        textField("Reason", REASON),
      ],
      confirm: "Save the settings",
      act: async (bitrate, picture, listed, record, policy, password, reason) => {
        const limits = { bitrate_kbps_max: Number(bitrate) || null, picture_pixels_max: Number(picture) || null };
        const changes = {
          // Fields that were not touched are not sent: each is an act of its own in the audit log.
          ...(limits.bitrate_kbps_max === kbps && limits.picture_pixels_max === pixels ? {} : { limits }),
          ...(listed === String(user.listed) ? {} : { listed: listed === "true" }),
          ...(record === String(user.record) ? {} : { record: JSON.parse(record) }),
          ...watchingChange(user.playback, policy, password),
        };
        if (Object.keys(changes).length > 0) {
          await this.#client.patch(`/api/v1/users/${user.name}`, { ...changes, reason });
        }
        return changes;
      },
    });
    if (done) tell(Object.keys(done).length ? `The settings of ${user.name} are saved.` : "Nothing was changed.");
  }

  /** Show where the broadcasts of a user are passed on to. */
  showTargets(name) {
    showTargets(this.#client, name, () => this.#live().some((stream) => stream.name === name));
  }

  previewTicket(stream) {
    return this.#client.post(`/api/v1/streams/${stream.name}/preview`);
  }

  async kickStream(stream) {
    const done = await ask({
      title: `Kick ${stream.name}?`,
      body: [
        goesDark([stream]),
        element(
          "p",
          {},
          "Its key stays good, and most encoders come back within seconds. To keep it off the air, revoke the key or suspend the user.",
        ),
      ],
      fields: [textField("Reason", REASON)],
      confirm: "Kick",
      isDangerous: true,
      act: (reason) => this.#client.post(`/api/v1/streams/${stream.name}/kick`, { reason }),
    });
    if (done) tellTakedown(done.kicked ? `${stream.name} is closed.` : `${stream.name} was not live any more.`, done);
  }

  async deleteUser(user) {
    const streams = this.#live().filter((stream) => stream.name === user.name);
    const done = await ask({
      title: `Delete ${user.name}?`,
      body: [
        goesDark(streams),
        element(
          "p",
          {},
          "All keys and all recordings of the user go, for good. The name is free then: whoever gets a key for it broadcasts on the same channel. To keep a name from that, suspend the user instead.",
        ),
      ],
      fields: [
        textField("To confirm, the name of the user", {
          required: true,
          pattern: user.name,
          title: `Type ${user.name}`,
        }),
        textField("Reason", REASON),
      ],
      confirm: "Delete the user",
      isDangerous: true,
      act: (_, reason) => this.#client.delete(`/api/v1/users/${user.name}`, { reason }),
    });
    if (done) tellTakedown(`${user.name} is deleted, with ${count(done.keys, "key")}.`, done);
  }

  // -- recordings -----------------------------------------------------------------------------------

  async startRecording(stream) {
    const done = await ask({
      title: `Record ${stream.name}?`,
      body: [
        element(
          "p",
          {},
          "It is recorded from now on, until the broadcast ends or you stop it, and can be watched at once. Whoever broadcasts sees it in their studio.",
        ),
      ],
      confirm: "Record",
      act: () => this.#client.post(`/api/v1/streams/${stream.name}/record`, { action: "start" }),
    });
    if (done) tell(`${stream.name} is recorded from its next segment on.`);
  }

  async stopRecording(name) {
    const done = await ask({
      title: `Stop recording ${name}?`,
      body: [
        element("p", {}, "What has been recorded stays. Nothing more of this broadcast is, unless you begin again."),
      ],
      confirm: "Stop recording",
      act: () => this.#client.post(`/api/v1/streams/${name}/record`, { action: "stop" }),
    });
    if (done) tell(`The recording of ${name} is complete in a moment.`);
  }

  async changeRecording(recording) {
    const { id, title, visibility, keep } = recording;
    const done = await ask({
      title: `The recording of ${recording.user}`,
      fields: [
        textField("Title", { value: title, maxlength: 200, hint: `Empty: “${titleOf({ ...recording, title: "" })}”.` }),
        choiceField("Seen by", Object.entries(VISIBILITIES), visibility),
        choiceField(
          "Kept",
          [
            ["false", "As long as the server’s rules say"],
            ["true", "Pinned: no rule deletes it"],
          ],
          String(keep),
        ),
        ...watchingFields(recording.playback, "As its channel"),
      ],
      confirm: "Save",
      act: (named, seen, kept, policy, password) =>
        this.#client.patch(`/api/v1/recordings/${id}`, {
          title: named,
          visibility: seen,
          keep: kept === "true",
          ...watchingChange(recording.playback, policy, password),
        }),
    });
    if (done) tell("Saved.");
  }

  async deleteRecording(recording) {
    const done = await ask({
      title: `Delete “${titleOf(recording)}”?`,
      body: [
        element(
          "p",
          { class: "callout danger" },
          `The recording of ${recording.user} goes for good${recording.keep ? ", although it is pinned" : ""}. Whoever watches it now is cut off.`,
        ),
      ],
      fields: [textField("Reason", { ...REASON, hint: "For the audit log; its broadcaster does not see it." })],
      confirm: "Delete the recording",
      isDangerous: true,
      act: (reason) => this.#client.delete(`/api/v1/recordings/${recording.id}`, { reason }),
    });
    if (done) tell("The recording is deleted.");
  }

  async changeClip(clip) {
    const done = await ask({
      title: `A clip of ${clip.user}`,
      fields: [textField("Title", { value: clip.title, maxlength: 200, hint: "Its page shows it." })],
      confirm: "Save",
      act: (title) => this.#client.patch(`/api/v1/clips/${clip.id}`, { title }),
    });
    if (done) tell("Saved.");
  }

  async deleteClip(clip) {
    const done = await ask({
      title: `Delete “${clipTitle(clip)}”?`,
      body: [
        element(
          "p",
          { class: "callout danger" },
          `The clip of ${clip.user} goes for good; its recording is held by it no more.`,
        ),
      ],
      fields: [textField("Reason", { ...REASON, hint: "For the audit log; its broadcaster does not see it." })],
      confirm: "Delete the clip",
      isDangerous: true,
      act: (reason) => this.#client.delete(`/api/v1/clips/${clip.id}`, { reason }),
    });
    if (done) tell("The clip is deleted.");
  }

  #streamsOf(keyId) {
    return this.#live().filter((stream) => stream.key_id === keyId);
  }
}
