// A moderator's decisions, each in a dialog: a takedown with its statement of reasons, a case that stays as it is, a
// complaint, and what is shown again.

import { ask, choiceField, longField, textField } from "../asking.js";
import { element } from "../dom.js";
import { countriesOf } from "./blocks.js";
import { tell } from "./dialogs.js";

const REASON_LENGTH_MAX = 2_000;
const FACTS_LENGTH_MAX = 5_000;
/** @type {[string, string][]} */
const GROUNDS = [
  ["ILLEGAL_CONTENT", "It is illegal"],
  ["INCOMPATIBLE_CONTENT", "It is against our rules"],
];

/** The fields of a statement of reasons, and the statement that they make. */
function statementFields(categories, { category, facts = "" }) {
  const fields = [
    choiceField(
      "What for",
      categories.map((each) => [each.category, each.title]),
      category,
    ),
    choiceField("Ground", GROUNDS),
    textField("Law or rule", { required: true, maxlength: 500, hint: "Which one is broken." }),
    longField("Why", {
      required: true,
      maxlength: REASON_LENGTH_MAX,
      hint: "Why that is so. The broadcaster reads it.",
    }),
    longField("Facts", {
      required: true,
      maxlength: FACTS_LENGTH_MAX,
      value: facts,
      hint: "What was seen, when. The broadcaster reads it.",
    }),
    textField("Countries", { maxlength: 200, hint: "Where it is not shown: DE, FR, EU. Empty for everywhere." }),
    textField("Last day", { type: "date", hint: "It is shown again after it. Empty for no end." }),
  ];
  const statement = (what, ground, law, why, said, countries, end) => ({
    category: what,
    decision_ground: ground,
    decision_facts: said,
    territorial_scope: countriesOf(countries),
    end_date_visibility_restriction: end || null,
    ...(ground === "ILLEGAL_CONTENT"
      ? { illegal_content_legal_ground: law, illegal_content_explanation: why }
      : { incompatible_content_ground: law, incompatible_content_explanation: why }),
  });
  return { fields, statement };
}

/** The answer to a takedown, in words. */
function said(done, what) {
  const later = done.unwritten ? ` Note: ${done.unwritten}.` : "";
  return `${what} is dark.${later}`;
}

export class Deciding {
  #client;
  /** @type {{category: string, title: string}[] | null} */
  #categories = null;

  constructor(client) {
    this.#client = client;
  }

  async #known() {
    this.#categories ??= (await this.#client.get("/api/v1/categories")).categories;
    return this.#categories;
  }

  /** Take a target down that no case has. */
  async takeDown(target) {
    const { fields, statement } = statementFields(await this.#known(), { category: "" });
    const done = await ask({
      title: `Take down ${target.kind} ${target.id}`,
      body: [element("p", {}, "All of it is dark at once: live, past, recordings, clips and pictures.")],
      fields,
      confirm: "Take it down",
      isDangerous: true,
      act: (...values) => this.#client.post("/api/v1/takedowns", { target: target.id, ...statement(...values) }),
    });
    if (done) tell(said(done, target.id));
    return done;
  }

  /** Decide a case by a takedown. */
  async takeDownCase(shown) {
    // Without the machine there is no draft, and nothing is lost but some typing.
    const draft = await this.#client.get(`/api/v1/cases/${shown.id}/draft`).catch(() => null);
    const { fields, statement } = statementFields(await this.#known(), {
      category: shown.category,
      facts: draft?.statement.decision_facts ?? "",
    });
    const done = await ask({
      title: `Take down ${shown.target.kind} ${shown.target.id}`,
      body: [element("p", {}, "All of it is dark at once, and the reporters learn of it.")],
      fields,
      confirm: "Take it down",
      isDangerous: true,
      act: (...values) =>
        this.#client.post(`/api/v1/cases/${shown.id}/decide`, {
          outcome: "taken_down",
          statement: statement(...values),
        }),
    });
    if (done) tell(said(done, shown.target.id));
    return done;
  }

  /** Decide that it stays. */
  async leave(shown) {
    const done = await ask({
      title: `Leave ${shown.target.id} as it is?`,
      fields: [
        longField("Why", { required: true, maxlength: REASON_LENGTH_MAX, hint: "The reporters read it." }),
        choiceField("The reports", [
          ["", "were made in good faith"],
          ["unfounded", "were manifestly unfounded: warn their reporters"],
        ]),
      ],
      confirm: "Leave it",
      act: (reason, unfounded) =>
        this.#client.post(`/api/v1/cases/${shown.id}/decide`, {
          outcome: "no_action",
          reason,
          unfounded: unfounded === "unfounded",
        }),
    });
    if (done) tell("The case is decided: nothing is done.");
    return done;
  }

  /** Write into a case for whoever looks at it after. */
  async note(shown) {
    return ask({
      title: "A note in the case",
      fields: [longField("Note", { required: true, maxlength: FACTS_LENGTH_MAX, hint: "For other moderators." })],
      confirm: "Write it",
      act: (text) => this.#client.post(`/api/v1/cases/${shown.id}/note`, { text }),
    });
  }

  /** Have a decided case decided anew. */
  async reopen(shown) {
    return ask({
      title: "Decide it anew?",
      body: [element("p", {}, "What was taken down stays so until it is restored.")],
      fields: [textField("Reason", { maxlength: 500 })],
      confirm: "Reopen the case",
      act: (reason) => this.#client.post(`/api/v1/cases/${shown.id}/reopen`, { reason }),
    });
  }

  /** Take a case that somebody else has. */
  async takeOver(shown) {
    return ask({
      title: `Take the case from ${shown.claimed_by}?`,
      body: [element("p", {}, "They see in the history that you did.")],
      confirm: "Take it over",
      act: () => this.#client.post(`/api/v1/cases/${shown.id}/claim`, { take_over: true }),
    });
  }

  /** Undo a takedown. */
  async restore(id) {
    const done = await ask({
      title: "Show it again?",
      body: [element("p", {}, "All that this takedown made dark is shown again, unless another act keeps it dark.")],
      fields: [textField("Reason", { maxlength: 500, hint: "For the audit log and the broadcaster." })],
      confirm: "Restore",
      act: (reason) => this.#client.post(`/api/v1/takedowns/${id}/restore`, { reason }),
    });
    if (done) tell("It is shown again.");
    return done;
  }

  /** Decide a complaint. */
  async answer(appeal) {
    const done = await ask({
      title: `The complaint ${appeal.reference}`,
      body: [element("blockquote", { class: "said", dir: "auto" }, appeal.text)],
      fields: [
        choiceField("The first decision", [
          ["upheld", "stays"],
          ["reversed", "was wrong: undo it"],
        ]),
        longField("Why", { required: true, maxlength: FACTS_LENGTH_MAX, hint: "Whoever complained reads it." }),
      ],
      confirm: "Decide",
      act: (outcome, reason) => this.#client.post(`/api/v1/appeals/${appeal.id}/decide`, { outcome, reason }),
    });
    if (done) tell(done.state === "reversed" ? "The decision is undone." : "The decision stays.");
    return done;
  }
}
