// The moderators' queue: reported things by priority, complaints that wait, and one box that finds anything.

import { messageOf } from "../asking.js";
import { byId, element, setText } from "../dom.js";
import { count } from "../format.js";
import { CasePage, statePill } from "./case.js";
import { Deciding } from "./deciding.js";
import { cell, PagedTable, time } from "./list.js";

const CASE_ID = /^case_[0-9a-z]+$/;
// A second report of a moment ago is seen with the next look.
const FOLLOW_AGAIN_MS = 1_000;
const REFERENCE = /^[0-9a-z]{4}-?[0-9a-z]{2}$/i;

export class CasesView {
  #client;
  #table;
  #page;
  #state = byId("cases-state", HTMLSelectElement);
  #target = byId("look-target", HTMLInputElement);
  /** The case that is open, by id, or the text that was looked for; empty for the queue. */
  #open = "";
  #isFollowing = false;
  #hasNews = false;

  constructor(client, account, origin) {
    this.#client = client;
    this.#page = new CasePage(byId("case"), client, account, origin, new Deciding(client), () => this.refresh());
    this.#table = new PagedTable("cases", {
      load: (after, limit) => client.get("/api/v1/cases", { state: this.#state.value, after, limit }),
      items: (page) => page.cases,
      keyOf: (shown) => shown.id,
      cellsOf: (shown) => this.#cells(shown),
      empty: () =>
        this.#state.value === "open"
          ? ["Nothing waits", "What viewers report comes here at once, the most urgent first."]
          : ["No such case", "No case is in this state."],
    });
    this.#state.addEventListener("change", () => this.refresh());
    byId("look").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#look(this.#target.value.trim());
    });
  }

  /** Show what stands behind #/cases/: a case's id, or anything that can be looked for. */
  open(named) {
    this.#open = decodeURIComponent(named);
    byId("case-queue").hidden = this.#open !== "";
    byId("case").hidden = this.#open === "";
    if (!this.#open) this.#page.clear();
  }

  refresh() {
    if (this.#open) return this.#show();
    this.#showAppeals();
    return this.#table.refresh();
  }

  /** Something was reported, claimed, noted, decided or complained about; a crowd does that many times a second. */
  async follow() {
    this.#hasNews = true;
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    try {
      while (this.#hasNews) {
        this.#hasNews = false;
        await this.#followOnce();
        await new Promise((resolve) => setTimeout(resolve, FOLLOW_AGAIN_MS));
      }
    } finally {
      this.#isFollowing = false;
    }
  }

  #followOnce() {
    if (this.#open) return this.#show();
    this.#showAppeals();
    return this.#table.follow();
  }

  async #show() {
    if (CASE_ID.test(this.#open)) return this.#page.showCase(this.#open);
    try {
      return await this.#page.showTarget(await this.#client.get("/api/v1/targets", { target: this.#open }));
    } catch (error) {
      setText(byId("look-error"), messageOf(error));
      location.hash = "#/cases";
    }
  }

  async #look(text) {
    setText(byId("look-error"), "");
    if (!text) return;
    try {
      location.hash = `#/cases/${encodeURIComponent(await this.#found(text))}`;
      this.#target.value = "";
    } catch (error) {
      setText(byId("look-error"), messageOf(error));
    }
  }

  /** The name in a text, as it stands in the address of this page: no secret of a key does. */
  async #found(text) {
    if (CASE_ID.test(text)) return text;
    if (REFERENCE.test(text)) {
      const { cases } = await this.#client.get("/api/v1/cases", { reference: text });
      if (cases.length) return cases[0].id;
    }
    return (await this.#client.get("/api/v1/targets", { target: text })).id;
  }

  async #showAppeals() {
    const { appeals } = await this.#client.get("/api/v1/appeals").catch(() => ({ appeals: [] }));
    byId("appeals").hidden = appeals.length === 0;
    byId("appeals-list").replaceChildren(
      ...appeals.map((appeal) =>
        element(
          "li",
          {},
          ...this.#page.appealLine(appeal).filter((each) => each !== null),
          element("a", { class: "button small", href: `#/cases/${appeal.case}` }, "The case"),
        ),
      ),
    );
  }

  #cells(shown) {
    const { target } = shown;
    return [
      cell("Reported", element("strong", {}, target.id), element("span", { class: "extra" }, target.kind)),
      cell(
        "What for",
        shown.title,
        shown.on_top ? element("span", { class: "pill", "data-level": "bad" }, "Known picture") : null,
        shown.machine_summary ? element("span", { class: "extra" }, shown.machine_summary) : null,
      ),
      cell("Reports", String(shown.reports), element("span", { class: "extra" }, count(shown.viewers, "viewer"))),
      cell("State", statePill(shown)),
      cell("Since", time(shown.opened_at)),
      element(
        "td",
        { class: "acts" },
        element(
          "div",
          { class: "buttons" },
          element(
            "a",
            { class: "button small", href: `#/cases/${shown.id}`, "aria-label": `Open the case of ${target.id}` },
            "Open",
          ),
        ),
      ),
    ];
  }
}
