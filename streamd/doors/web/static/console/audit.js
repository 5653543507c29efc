// Who did what to which key, user or stream, when and why; the newest first.

import { byId, element } from "../dom.js";
import { count } from "../format.js";
import { cell, PagedTable, time } from "./list.js";

const TYPING_MS = 300;
const ACTIONS = {
  "key.issued": "Key issued",
  "key.rotated": "Key rotated",
  "key.revoked": "Key revoked",
  "key.expired": "Key expired",
  "user.created": "User created",
  "user.suspended": "User suspended",
  "user.restored": "User restored",
  "user.limited": "User limited",
  "stream.closed": "Stream closed",
  "stream.kicked": "Stream kicked",
  "publish.denied": "Publish refused",
  "studio.denied": "Studio refused",
  "admin.denied": "Admin token refused",
};

export class AuditView {
  #table;

  constructor(client) {
    const search = byId("audit-search", HTMLInputElement);
    this.#table = new PagedTable("audit", {
      load: (after) => client.get("/api/v1/audit", { newest_first: true, search: search.value.trim(), after }),
      items: (page) => page.entries,
      keyOf: (row) => row.sequence,
      cellsOf: (row) => cells(row),
      empty: () =>
        search.value
          ? ["Nothing found", "No entry has this text."]
          : ["Nothing has happened yet", "Everything that is done to keys, users and streams will stand here."],
    });
    let typing = 0;
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.refresh(), TYPING_MS);
    });
  }

  refresh() {
    return this.#table.refresh();
  }
}

/** What the server has written, "rate_limited", in words; what a person has written as it is. */
function reason(text) {
  return /^[a-z_]+$/.test(text) ? text.replaceAll("_", " ") : text;
}

function cells(row) {
  const on = [row.user ?? row.stream, row.key_id].filter(Boolean);
  return [
    cell("When", time(row.at)),
    cell(
      "What",
      element("strong", {}, ACTIONS[row.action] ?? row.action),
      row.count > 1 ? element("span", { class: "extra" }, count(row.count, "time")) : null,
    ),
    cell("On", on[0] ?? "–", on[1] ? element("code", { class: "extra" }, on[1]) : null),
    cell("Who", row.actor, row.address ? element("span", { class: "extra address" }, row.address) : null),
    cell("Why", reason(row.reason) || "–"),
  ];
}
