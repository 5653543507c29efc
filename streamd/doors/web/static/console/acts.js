// What an operator can do to a key, a user or a stream. Every question names what will go dark.

import { element } from "../dom.js";
import { count, PICTURE_SIZES, pictureSize, totalViewers } from "../format.js";
import { elapsed } from "../viewer_format.js";
import { ask, choiceField, showKey, tell, textField } from "./dialogs.js";

const REASON = { maxlength: 500, hint: "For the audit log; the broadcaster does not see it." };
const DAY_S = 86_400;

/** What the operator reads before a key or user stops to work: which streams end, and in front of how many. */
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

  async limitUser(user) {
    const { bitrate_kbps_max: kbps, picture_pixels_max: pixels } = user.limits;
    const isNamed = !pixels || PICTURE_SIZES.some(([named]) => named === pixels);
    /** @type {[string | number, string][]} */
    const sizes = [["", "As everybody"], ...PICTURE_SIZES];
    if (!isNamed) sizes.push([pixels, pictureSize(pixels)]);
    const done = await ask({
      title: `What ${user.name} may send`,
      body: [
        element("p", {}, "A stream that sends more ends, and says why: for the bit rate also one that is live now."),
      ],
      fields: [
        textField("Bit rate, kb/s", {
          value: kbps ?? "",
          type: "number",
          min: 100,
          hint: "Picture and sound, over five seconds; empty: as everybody. Allow a third more than is set in OBS: an encoder catches up after a bad moment.",
        }),
        choiceField("Largest picture", sizes, pixels ?? ""),
        textField("Reason", REASON),
      ],
      confirm: "Set the limits",
      act: (bitrate, picture, reason) =>
        this.#client.patch(`/api/v1/users/${user.name}`, {
          limits: { bitrate_kbps_max: Number(bitrate) || null, picture_pixels_max: Number(picture) || null },
          reason,
        }),
    });
    if (done) tell(`The limits of ${user.name} are set.`);
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

  #streamsOf(keyId) {
    return this.#live().filter((stream) => stream.key_id === keyId);
  }
}
