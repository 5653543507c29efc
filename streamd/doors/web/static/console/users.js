// The users, each of whom is a channel: what they may send, whether they are listed and recorded; suspend, restore,
// delete.

import { byId, element } from "../dom.js";
import { limits } from "../format.js";
import { onTyped } from "../searching.js";
import { cell, PagedTable, time } from "./list.js";
import { actButton } from "./row_parts.js";

export class UsersView {
  #table;
  #acts;
  #state = byId("users-state", HTMLSelectElement);
  #search = byId("users-search", HTMLInputElement);

  constructor(client, acts) {
    this.#acts = acts;
    this.#table = new PagedTable("users", {
      load: (after, limit) =>
        client.get("/api/v1/users", { state: this.#state.value, search: this.#search.value.trim(), after, limit }),
      items: (page) => page.users,
      keyOf: (user) => user.name,
      cellsOf: (user) => this.#cells(user),
      empty: () =>
        this.#state.value || this.#search.value
          ? ["No such user", "No user is called so, or none of them is in this state."]
          : ["There is no user yet", "Issuing a stream key creates its user."],
    });
    this.#state.addEventListener("change", () => this.refresh());
    onTyped(this.#search, () => this.refresh());
  }

  /** Show one user. */
  showUser(name) {
    this.#search.value = name;
    this.#state.value = "";
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }

  /** Whoever reads the users may read where their broadcasts go. */
  #targetsButton(name) {
    const button = actButton("Passed on", `broadcasts of ${name}`, () => this.#acts.showTargets(name));
    button.classList.add("reading");
    return button;
  }

  #cells(user) {
    const isSuspended = user.state === "suspended";
    const { name } = user;
    const act = isSuspended
      ? actButton("Restore", name, () => this.#acts.restoreUser(user))
      : actButton("Suspend", name, () => this.#acts.suspendUser(user), true);
    const recorded = { true: "always recorded", false: "never recorded" }[String(user.record)];
    const rules = [user.listed ? "" : "unlisted", recorded].filter(Boolean).join(", ");
    return [
      cell("User", element("strong", {}, user.name), rules ? element("span", { class: "extra" }, rules) : null),
      cell("State", element("span", { class: "pill", "data-level": user.state }, isSuspended ? "Suspended" : "Active")),
      cell("Since", time(isSuspended ? user.suspended_at : user.created_at)),
      cell("May send", limits(user.limits) || "as everybody"),
      cell("Reason", user.suspend_reason || "–"),
      element(
        "td",
        { class: "acts" },
        element(
          "div",
          { class: "buttons" },
          element(
            "a",
            { class: "button small", href: `#/keys/${user.name}`, "aria-label": `Keys of ${user.name}` },
            "Keys",
          ),
          element(
            "a",
            { class: "button small", href: `#/recordings/${user.name}`, "aria-label": `Recordings of ${user.name}` },
            "Recordings",
          ),
          this.#targetsButton(name),
          actButton("Settings", `of ${name}`, () => this.#acts.setUser(user)),
          act,
          actButton("Delete", name, () => this.#acts.deleteUser(user), true),
        ),
      ),
    ];
  }
}
