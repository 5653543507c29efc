// The audit log: each act, its actor, time and reason; the newest first.

import { messageOf } from "../asking.js";
import { byId, element } from "../dom.js";
import { count } from "../format.js";
import { onTyped } from "../searching.js";
import { ACTIONS, auditQuery, csv } from "./audit_labels.js";
import { tell } from "./dialogs.js";
import { cell, PagedTable, time } from "./list.js";

// More than anybody reads in a spreadsheet at once; ten requests.
const EXPORT_ROWS_MAX = 10_000;
const EXPORT_PAGE = 1_000;

export class AuditView {
  #table;
  #client;
  #search = byId("audit-search", HTMLInputElement);
  #type = byId("audit-type", HTMLSelectElement);
  #from = byId("audit-from", HTMLInputElement);
  #to = byId("audit-to", HTMLInputElement);

  constructor(client) {
    this.#client = client;
    this.#type.append(...Object.entries(ACTIONS).map(([value, text]) => element("option", { value }, text)));
    this.#table = new PagedTable("audit", {
      load: (after, limit) => this.#load(after, limit),
      items: (page) => page.entries,
      keyOf: (row) => row.sequence,
      cellsOf: (row) => cells(row),
      empty: () =>
        Object.values(this.#query).some(Boolean)
          ? ["Nothing found", "No entry is like this."]
          : ["Nothing has happened yet", "Everything that is done to keys, users and streams will stand here."],
    });
    onTyped(this.#search, () => this.refresh());
    for (const field of [this.#type, this.#from, this.#to]) field.addEventListener("change", () => this.refresh());
    byId("audit-export").addEventListener("click", () => this.#export());
  }

  get #query() {
    return auditQuery({
      text: this.#search.value,
      action: this.#type.value,
      from: this.#from.value,
      to: this.#to.value,
    });
  }

  #load(after, limit) {
    return this.#client.get("/api/v1/audit", { newest_first: true, ...this.#query, after, limit });
  }

  /** All that is found, as a file. */
  async #export() {
    const rows = [];
    let after = null;
    try {
      do {
        const page = await this.#load(after, EXPORT_PAGE);
        rows.push(...page.entries);
        after = page.next_after;
      } while (after !== null && rows.length < EXPORT_ROWS_MAX);
    } catch (error) {
      tell(messageOf(error));
      return;
    }
    const url = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
    element("a", { href: url, download: "audit.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    if (after !== null)
      tell(`The file has the newest ${rows.length.toLocaleString("en")}; choose days for the others.`);
  }

  refresh() {
    return this.#table.refresh();
  }

  /** The rows may have changed. */
  follow() {
    return this.#table.follow();
  }
}

/** A word of the server's, "rate_limited", in plain words; a person's own as they are. */
function reason(text) {
  return /^[a-z_]+$/.test(text) ? text.replaceAll("_", " ") : text;
}

function cells(row) {
  const on = [row.user ?? row.stream ?? row.subject, row.key_id].filter(Boolean);
  return [
    cell("When", time(row.at)),
    cell(
      "What",
      element("strong", {}, ACTIONS[row.action] ?? row.action),
      row.count > 1 ? element("span", { class: "extra" }, count(row.count, "time")) : null,
    ),
    cell(
      "On",
      row.user ? element("a", { href: `#/keys/${row.user}` }, row.user) : (on[0] ?? "–"),
      on[1] ? element("code", { class: "extra" }, on[1]) : null,
    ),
    cell("Who", row.actor, row.address ? element("span", { class: "extra address" }, row.address) : null),
    cell("Why", reason(row.reason) || "–"),
  ];
}
