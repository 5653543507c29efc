// The operators, for admins: their names and roles; add, change, rotate, revoke.

import { ask, choiceField, textField } from "../asking.js";
import { copyable } from "../copying.js";
import { byId, element } from "../dom.js";
import { showOnce, tell } from "./dialogs.js";
import { cell, PagedTable, time } from "./list.js";

const STATES = { active: "Active", revoked: "Revoked", expired: "Expired" };
/** @type {[string, string][]} */
const ROLES = [
  ["moderator", "Moderator: takes down what is shown; no keys"],
  ["operator", "Operator: keys, users and streams"],
  ["auditor", "Auditor: reads"],
  ["admin", "Admin: all, and the operators"],
];
const REASON = { maxlength: 500, hint: "For the audit log." };
const DAY_MS = 86_400_000;

/** The token that was just made. */
function showToken(made) {
  return showOnce(
    `The token of ${made.name}`,
    "new-token",
    element(
      "p",
      { class: "callout warning" },
      element("strong", {}, "It is shown this once. "),
      "The server keeps no copy: pass it on now, or rotate it later.",
    ),
    copyable("Token", made.token, { id: "new-token", isSecret: true }),
    element(
      "p",
      { class: "hint" },
      `${made.name} signs in here with it, and has commands act in their name with STREAMD_TOKEN in the environment.`,
    ),
  );
}

export class OperatorsView {
  #client;
  #table;

  constructor(client) {
    this.#client = client;
    this.#table = new PagedTable("operators", {
      // There are few: all of them are one page.
      load: async () => ({ ...(await client.get("/api/v1/operators")), next_after: null }),
      items: (page) => page.operators,
      keyOf: (operator) => operator.name,
      cellsOf: (operator) => this.#cells(operator),
      empty: () => [
        "Nobody has a name here yet",
        "Whoever has the admin token is root. Give each person of a team a name: the audit log says who did what.",
      ],
    });
    byId("add-operator").addEventListener("click", () => this.#add());
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #add() {
    const made = await ask({
      title: "Add an operator",
      fields: [
        textField("Name", {
          required: true,
          pattern: "[a-z0-9][a-z0-9_\\-]{1,63}",
          title: "2 to 64 small letters, digits, - and _",
          hint: "The audit log tells of what they do by it.",
        }),
        choiceField("Role", ROLES),
        choiceField("Expires", [
          ["", "Never"],
          [7, "In 7 days"],
          [90, "In 90 days"],
          [365, "In a year"],
        ]),
      ],
      confirm: "Add",
      act: (name, role, days) =>
        this.#client.post("/api/v1/operators", {
          name,
          role,
          expires_at: days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null,
        }),
    });
    if (made) await showToken(made);
  }

  async #change({ name, role, totp }) {
    const done = await ask({
      title: `What ${name} may do`,
      fields: [
        choiceField("Role", ROLES, role),
        ...(totp
          ? [
              choiceField("Authenticator", [
                ["", "Stays"],
                ["remove", "Remove it: the telephone is lost"],
              ]),
            ]
          : []),
        textField("Reason", REASON),
      ],
      confirm: "Change",
      act: (chosen, ...rest) => {
        const change = { role: chosen, reason: rest[rest.length - 1] };
        return this.#client.patch(
          `/api/v1/operators/${name}`,
          rest[0] === "remove" ? { ...change, totp: false } : change,
        );
      },
    });
    if (done) tell(`${name} is ${done.role}.`);
  }

  async #rotate({ name }) {
    const made = await ask({
      title: `Another token for ${name}?`,
      body: [element("p", {}, "The old one is dead at once, and so are the consoles that are open with it.")],
      confirm: "Rotate the token",
      act: () => this.#client.post(`/api/v1/operators/${name}/rotate`),
    });
    if (made) await showToken(made);
  }

  async #revoke({ name }) {
    const done = await ask({
      title: `Revoke the token of ${name}?`,
      body: [element("p", {}, "They are signed out everywhere, and the token never works again.")],
      fields: [textField("Reason", REASON)],
      confirm: "Revoke",
      isDangerous: true,
      act: (reason) => this.#client.post(`/api/v1/operators/${name}/revoke`, { reason }),
    });
    if (done) tell(`${name} is out.${done.unwritten && ` Note: ${done.unwritten}.`}`);
  }

  #cells(operator) {
    const { name, state } = operator;
    const act = (label, said, run, isDangerous = false) =>
      element(
        "button",
        {
          class: `button small${isDangerous ? " danger-text" : ""}`,
          type: "button",
          "aria-label": `${said} ${name}`,
          onclick: run,
        },
        label,
      );
    const buttons = element("div", { class: "buttons" });
    if (state !== "revoked") {
      buttons.append(act("Change", "Change the role of", () => this.#change(operator)));
      if (state === "active") buttons.append(act("Rotate", "Rotate the token of", () => this.#rotate(operator)));
      buttons.append(act("Revoke", "Revoke the token of", () => this.#revoke(operator), true));
    }
    return [
      cell("Name", element("strong", {}, name)),
      cell("Role", operator.role, operator.totp ? element("span", { class: "extra" }, "with a code") : null),
      cell(
        "State",
        element("span", { class: "pill", "data-level": state }, STATES[state]),
        operator.revoke_reason ? element("span", { class: "extra" }, operator.revoke_reason) : null,
      ),
      cell("Last used", operator.last_used_at ? time(operator.last_used_at) : "never"),
      cell("Expires", operator.revoked_at ? "–" : operator.expires_at ? time(operator.expires_at) : "never"),
      element("td", { class: "acts" }, buttons),
    ];
  }
}
