// The users, each of whom is a channel: what they may send; suspend and restore.

import { byId, element } from "../dom.js";
import { limits } from "../format.js";
import { cell, PagedTable, time } from "./list.js";

export class UsersView {
  #table;
  #acts;
  #state = byId("users-state", HTMLSelectElement);

  constructor(client, acts) {
    this.#acts = acts;
    this.#table = new PagedTable("users", {
      load: (after) => client.get("/api/v1/users", { state: this.#state.value, after }),
      items: (page) => page.users,
      keyOf: (user) => user.name,
      cellsOf: (user) => this.#cells(user),
      empty: () =>
        this.#state.value
          ? ["No such user", "No user is in this state."]
          : ["There is no user yet", "Issuing a stream key creates its user."],
    });
    this.#state.addEventListener("change", () => this.refresh());
  }

  refresh() {
    return this.#table.refresh();
  }

  #cells(user) {
    const isSuspended = user.state === "suspended";
    const act = isSuspended
      ? element(
          "button",
          {
            class: "button small",
            type: "button",
            "aria-label": `Restore ${user.name}`,
            onclick: () => this.#acts.restoreUser(user),
          },
          "Restore",
        )
      : element(
          "button",
          {
            class: "button small danger-text",
            type: "button",
            "aria-label": `Suspend ${user.name}`,
            onclick: () => this.#acts.suspendUser(user),
          },
          "Suspend",
        );
    const limit = element(
      "button",
      {
        class: "button small",
        type: "button",
        "aria-label": `Limits of ${user.name}`,
        onclick: () => this.#acts.limitUser(user),
      },
      "Limits",
    );
    return [
      cell("User", element("strong", {}, user.name)),
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
          limit,
          act,
        ),
      ),
    ];
  }
}
