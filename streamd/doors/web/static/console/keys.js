// The stream keys: their users, their states, their last uses; issue, rotate, revoke.

import { byId, element } from "../dom.js";
import { onTyped } from "../searching.js";
import { importKeys } from "./importing.js";
import { cell, PagedTable, time } from "./list.js";

const STATES = { active: "Active", revoked: "Revoked", expired: "Expired" };

export class KeysView {
  #table;
  #acts;
  #live;
  #user = byId("keys-user", HTMLInputElement);
  #state = byId("keys-state", HTMLSelectElement);
  /** The user whose keys alone are shown, and not also those of users who are called alike. */
  #only = "";

  /** @param live returns the live streams, as they are now */
  constructor(client, acts, live) {
    this.#acts = acts;
    this.#live = live;
    this.#table = new PagedTable("keys", {
      load: (after, limit) => this.#load(client, after, limit),
      items: (page) =>
        page.keys.map((key) => ({ ...key, isLive: this.#live().some((stream) => stream.key_id === key.id) })),
      keyOf: (key) => key.id,
      cellsOf: (key) => this.#cells(key),
      empty: () =>
        this.#user.value || this.#state.value !== "active"
          ? ["No such key", "No stream key is called so, or none of them is in this state."]
          : ["There is no stream key yet", "Whoever broadcasts needs one: issue the first."],
    });
    byId("issue").addEventListener("click", () => acts.issueKey());
    byId("import").addEventListener("click", () => importKeys(client));
    this.#user.addEventListener("input", () => {
      this.#only = "";
    });
    onTyped(this.#user, () => this.refresh());
    this.#state.addEventListener("change", () => this.refresh());
  }

  /** Show the keys of one user, in whatever state. */
  showUser(name) {
    this.#user.value = name;
    this.#only = name;
    this.#state.value = "";
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }

  #load(client, after, limit) {
    const wanted = this.#only ? { user: this.#only } : { search: this.#user.value.trim() };
    return client.get("/api/v1/keys", { ...wanted, state: this.#state.value, newest_first: true, after, limit });
  }

  #cells(key) {
    const pill = element(
      "span",
      { class: "pill", "data-level": key.isLive ? "live" : key.state },
      key.isLive ? "Live" : STATES[key.state],
    );
    const buttons = element("div", { class: "buttons" });
    if (key.state === "active") {
      const act = (label, run, isDangerous) =>
        element(
          "button",
          {
            class: `button small${isDangerous ? " danger-text" : ""}`,
            type: "button",
            "aria-label": `${label} the key ${key.id} of ${key.user}`,
            onclick: run,
          },
          label,
        );
      if (!key.replaced_by) buttons.append(act("Rotate", () => this.#acts.rotateKey(key)));
      buttons.append(act("Revoke", () => this.#acts.revokeKey(key), true));
    }
    const why = key.revoke_reason || (key.replaced_by ? `replaced by ${key.replaced_by}` : "");
    return [
      cell("User", element("strong", {}, key.user)),
      cell("Key", element("code", {}, key.id), key.label ? element("span", { class: "extra" }, key.label) : null),
      cell("State", pill, why ? element("span", { class: "extra" }, why) : null),
      cell(
        "Last used",
        key.last_used_at ? time(key.last_used_at) : "never",
        key.last_used_address ? element("span", { class: "extra address" }, key.last_used_address) : null,
      ),
      cell("Expires", key.revoked_at ? "–" : key.expires_at ? time(key.expires_at) : "never"),
      element("td", { class: "acts" }, buttons),
    ];
  }
}
