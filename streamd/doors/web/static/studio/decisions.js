// What moderators have decided about the channel, with the statement of reasons (Digital Services Act, article 17).

import { on } from "../base.js";
import { byId, element } from "../dom.js";
import { when } from "../format.js";
import { ask } from "./server.js";

const TARGETS = { channel: "your channel", key: "your channel", recording: "a recording", clip: "a clip" };

export class OwnDecisions {
  #generation = 0;
  #count = 0;

  /**
   * Read them where they have become more or fewer.
   *
   * @param {number} count how many hold
   */
  async follow(count) {
    if (count === this.#count) return;
    this.#count = count;
    this.#generation += 1;
    const generation = this.#generation;
    const { status, answer } = await ask("GET", "decisions");
    if (generation !== this.#generation) return;
    if (status === 200) this.#show(answer.decisions);
    // What was not answered is asked for with the next look at how things stand.
    else this.#count = 0;
  }

  /** Nothing of them stays on the page. */
  clear() {
    this.#generation += 1;
    this.#count = 0;
    this.#show([]);
  }

  #show(decisions) {
    byId("decisions").replaceChildren(...decisions.map(row));
    byId("decisions-section").hidden = decisions.length === 0;
  }
}

function row(decision) {
  const statement = decision.statement ?? {};
  return element(
    "li",
    { "data-decision": decision.id },
    element("p", {}, element("strong", {}, headline(decision)), ` ${when(decision.at)}`),
    line("By the law", statement.illegal_content_legal_ground),
    line("By the rules", statement.incompatible_content_ground),
    line("Why", statement.illegal_content_explanation ?? statement.incompatible_content_explanation),
    line("What was seen", statement.decision_facts),
    line("How it came up", origin(statement)),
    line("Why it was taken back", decision.restore_reason),
    complaint(decision),
  );
}

function complaint({ id, appeal, restored_at: restored }) {
  if (!appeal) return element("p", { class: "hint" }, `To complain, name ${id} to whoever runs this server.`);
  if (restored !== null) return null;
  return element("p", {}, element("a", { href: on(appeal) }, "Complain about this decision"));
}

function headline({ kind, target_kind: target, countries, restored_at: restored, until }) {
  const what = TARGETS[target];
  if (restored !== null) return `Taken back: ${what} was taken down, and is shown again.`;
  const where = countries.length > 0 ? ` in ${countries.join(", ")}` : "";
  const end = until !== null ? ` until ${when(until)}` : "";
  return kind === "takedown" ? `Taken down: ${what} is not shown.` : `Blocked: ${what} is not shown${where}${end}.`;
}

function line(name, text) {
  return text ? element("p", { class: "facts" }, `${name}: ${text}`) : null;
}

function origin({ source_type: source, automated_detection: automated }) {
  if (source === undefined) return "";
  const how = source === "SOURCE_VOLUNTARY" ? "whoever runs this server has looked" : "somebody has reported it";
  return automated === "Yes" ? `${how}; a machine has pointed at it, and a person has decided` : how;
}
