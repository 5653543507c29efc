// Blocks: who may not publish, and what is not shown where. Added one by one, or as a list that is looked at first.

import { ask, choiceField, textField } from "../asking.js";
import { byId, element } from "../dom.js";
import { count } from "../format.js";
import { tell } from "./dialogs.js";
import { cell, PagedTable, time } from "./list.js";

const TYPING_MS = 300;
const REASON_LENGTH_MAX = 500;
const FAULTS_SHOWN = 20;
const LIVE_SHOWN = 20;
const DAY_MS = 86_400_000;
/** @type {[string, string][]} */
export const KINDS = [
  ["channel", "Channel"],
  ["user", "User"],
  ["key", "Key"],
  ["network", "Network"],
  ["country", "Country"],
  ["hash", "Picture (PDQ hash)"],
];
const NAMES = Object.fromEntries(KINDS);
/** @type {[string, string][]} */
const SCOPES = [
  ["publish", "goes live no more, and is dark"],
  ["view", "is not shown (451)"],
];
const WIDE = "Take networks, too, that are as wide as the world";

/** The countries of a text: "de, fr". */
export function countriesOf(text) {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/**
 * Ask what is to be blocked, and block it.
 *
 * @param client asks the API
 * @param {{kind?: string, value?: string}} [given] what is known already
 */
export async function addBlock(client, { kind = "channel", value = "" } = {}) {
  const wide = checkbox(WIDE);
  const done = await ask({
    title: "Block",
    body: [],
    fields: [
      choiceField("Kind", KINDS, kind),
      textField("Value", {
        required: true,
        maxlength: 128,
        value,
        hint: "A channel (not to be shown also a recording or clip), a user, the id of a key, a network, a country, a hash.",
      }),
      choiceField("It", SCOPES),
      textField("Countries", { maxlength: 200, hint: "Where it is not shown: DE, FR, EU. Empty for everywhere." }),
      choiceField("Ends", [
        ["", "Never by itself"],
        [1, "In a day"],
        [7, "In 7 days"],
        [30, "In 30 days"],
        [365, "In a year"],
      ]),
      textField("Order", { maxlength: 128, hint: "The authority’s order that it follows." }),
      textField("Reason", { maxlength: REASON_LENGTH_MAX, hint: "For the audit log and the broadcaster." }),
      wide,
    ],
    confirm: "Block it",
    isDangerous: true,
    act: (chosen, what, scope, countries, days, order, reason, allowsWide) =>
      client.post("/api/v1/blocks", {
        kind: chosen,
        value: what,
        scope,
        countries: countriesOf(countries),
        until: days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null,
        order,
        reason,
        yes_all: allowsWide === "yes",
      }),
  });
  if (done) {
    const later = done.unwritten ? ` Note: ${done.unwritten}.` : "";
    tell(`${done.value} is blocked; ${count(done.closed.length, "stream")} closed.${later}`);
  }
  return done;
}

/** End a block. */
export async function removeBlock(client, block) {
  const done = await ask({
    title: `Lift the block of ${block.value}?`,
    fields: [textField("Reason", { maxlength: REASON_LENGTH_MAX, hint: "For the audit log." })],
    confirm: "Lift it",
    act: (reason) => client.delete(`/api/v1/blocks/${block.id}`, { reason }),
  });
  if (done) tell(`${block.value} is blocked no more by this.`);
  return done;
}

/** What a block is, in a line. */
export function blockLine(block) {
  const where = block.countries.length ? ` in ${block.countries.join(", ")}` : "";
  return [
    `${NAMES[block.kind]} ${block.value} ${block.scope === "view" ? `not shown${where}` : "may not publish"}, by ${block.added_by} `,
    time(block.added_at),
    block.reason ? `: ${block.reason}` : "",
  ];
}

/** Take a list: it is looked at first, and what would be is said before anything is. */
async function importBlocks(client) {
  const file = element("input", {
    type: "file",
    accept: ".csv,.txt,.jsonl,.ndjson",
    required: true,
    id: "blocks-file",
  });
  const wide = checkbox(WIDE);
  const looked = await ask({
    title: "Import a list of blocks",
    body: [
      element(
        "p",
        {},
        "Names of channels, one a line; CSV with the columns kind, value, scope, countries, until, order and reason; or JSON lines with fields of these names.",
      ),
      element("div", { class: "field" }, element("label", { for: "blocks-file" }, "File"), file),
    ],
    fields: [
      textField("Order", { maxlength: 128, hint: "Of the lines that name none." }),
      textField("Reason", { maxlength: REASON_LENGTH_MAX, hint: "Likewise." }),
      wide,
    ],
    confirm: "Look at the list",
    act: async (order, reason, allowsWide) => {
      const list = await /** @type {FileList} */ (file.files)[0].text();
      const query = { order, reason, yes_all: allowsWide === "yes" };
      const found = await send(client, list, { ...query, dry_run: true });
      if (found.faulty > 0) {
        const rest = found.faulty - Math.min(found.faults.length, FAULTS_SHOWN);
        const more = rest > 0 ? [`and ${count(rest, "more fault")}`] : [];
        throw new Error(["Nothing was taken:", ...found.faults.slice(0, FAULTS_SHOWN), ...more].join("\n"));
      }
      return { list, query, found };
    },
  });
  if (!looked) return undefined;
  const { list, query, found } = looked;
  if (found.added === 0) {
    tell(`Nothing to do: ${count(found.known, "block")} of the list hold already.`);
    return undefined;
  }
  const live = found.live.slice(0, LIVE_SHOWN);
  const others = found.live.length - live.length;
  const done = await ask({
    title: `Add ${count(found.added, "block")}?`,
    body: [
      element("p", { class: "callout" }, `${count(found.known, "block")} of the list hold already.`),
      found.live.length
        ? element(
            "p",
            { class: "callout warning" },
            `Live now, and dark then: ${live.join(", ")}${others > 0 ? ` and ${others} more` : ""}.`,
          )
        : element("p", {}, "None of them is live now."),
    ],
    confirm: "Add them",
    isDangerous: true,
    act: () => send(client, list, query),
  });
  if (done) tell(`${count(done.added, "block")} added; ${count(done.closed, "stream")} closed.`);
  return done;
}

function send(client, list, query) {
  const type = /^\s*[{"]/.test(list) ? "application/x-ndjson" : "text/csv";
  return client.postText("/api/v1/blocks/import", list, type, query);
}

/** @returns {Field} whose value is "yes" where it is checked */
function checkbox(label) {
  const control = element("input", { type: "checkbox" });
  const row = element("div", { class: "field check" }, element("label", {}, control, ` ${label}`));
  return { row, value: () => (control.checked ? "yes" : "") };
}

export class BlocksView {
  #client;
  #table;
  #search = byId("blocks-search", HTMLInputElement);
  #kind = byId("blocks-kind", HTMLSelectElement);

  constructor(client) {
    this.#client = client;
    this.#kind.append(...KINDS.map(([value, text]) => element("option", { value }, text)));
    this.#table = new PagedTable("blocks", {
      load: async (before, limit) => {
        const query = { search: this.#search.value.trim(), kind: this.#kind.value, before, limit };
        const page = await client.get("/api/v1/blocks", query);
        return { ...page, next_after: page.next_before };
      },
      items: (page) => page.blocks,
      keyOf: (block) => block.id,
      cellsOf: (block) => this.#cells(block),
      empty: () =>
        this.#search.value || this.#kind.value
          ? ["Nothing found", "No block is like this."]
          : ["Nothing is blocked", "Who may not publish, and what is not shown where, stands here."],
    });
    let typing = 0;
    this.#search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.refresh(), TYPING_MS);
    });
    this.#kind.addEventListener("change", () => this.refresh());
    byId("blocks-add").addEventListener("click", () => this.#then(addBlock(client)));
    byId("blocks-import").addEventListener("click", () => this.#then(importBlocks(client)));
  }

  refresh() {
    return this.#table.refresh();
  }

  /** What stands there may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #then(doing) {
    if (await doing) this.refresh();
  }

  #cells(block) {
    const said = [block.order ? `Order ${block.order}` : "", block.reason].filter(Boolean);
    return [
      cell("What", element("strong", {}, block.value), element("span", { class: "extra" }, NAMES[block.kind])),
      cell(
        "How",
        block.scope === "view" ? "Not shown" : "May not publish",
        block.countries.length ? element("span", { class: "extra" }, `in ${block.countries.join(", ")}`) : null,
      ),
      cell("Why", said[0] ?? "–", said[1] ? element("span", { class: "extra" }, said[1]) : null),
      cell("Since", time(block.added_at), element("span", { class: "extra" }, `by ${block.added_by}`)),
      cell("Ends", block.until ? time(block.until) : "never"),
      element(
        "td",
        { class: "acts" },
        element(
          "div",
          { class: "buttons" },
          element(
            "button",
            {
              class: "button small act",
              type: "button",
              "aria-label": `Lift the block of ${block.value}`,
              onclick: () => this.#then(removeBlock(this.#client, block)),
            },
            "Lift",
          ),
        ),
      ),
    ];
  }
}
