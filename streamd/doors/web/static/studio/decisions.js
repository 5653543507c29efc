// The decisions of moderators about the channel, with the statement of reasons (Digital Services Act, article 17).

import { ask as askBy, longField } from "../asking.js";
import { on } from "../base.js";
import { byId, element } from "../dom.js";
import { when } from "../format.js";
import { ask } from "./server.js";

const TEXT_LENGTH_MAX = 5_000;
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
    // A question without an answer is asked again with the next look at how things stand.
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
    complaining(decision),
  );
}

/** The way to say that it is wrong. */
function complaining({ id, complaint, restored_at: restored }) {
  if (restored !== null) return null;
  if (complaint === null)
    return element("p", { class: "hint" }, `To complain, name ${id} to whoever runs this server.`);
  const button = element("button", { class: "button small", type: "button", onclick: complain }, "Complain");
  async function complain() {
    const made = await askBy({
      title: "This decision is wrong",
      body: [element("p", {}, "Somebody else than whoever decided reads what you write, and answers.")],
      fields: [longField("Why it is wrong", { required: true, maxlength: TEXT_LENGTH_MAX })],
      confirm: "Send the complaint",
      act: (text) => send({ ...complaint, text }),
    });
    if (made) button.replaceWith(element("p", { class: "hint" }, `Your complaint is ${made.reference}.`));
  }
  return button;
}

async function send(complaint) {
  const answer = await fetch(on("api/v1/appeals"), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(complaint),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `HTTP ${answer.status}`);
  return said;
}

function headline({ kind, target_kind: target, countries, restored_at: restored, until }) {
  const what = TARGETS[target];
  if (restored !== null) return `Taken back: ${what} was taken down, and is shown again.`;
  const where = countries.length > 0 ? ` in ${countries.join(", ")}` : "";
  const end = until !== null ? ` until ${when(until)}` : "";
  return `${kind === "takedown" ? "Taken down" : "Blocked"}: ${what} is not shown${where}${end}.`;
}

function line(name, text) {
  return text ? element("p", { class: "facts" }, `${name}: ${text}`) : null;
}

function origin({ source_type: source, automated_detection: automated }) {
  if (source === undefined) return "";
  const how = source === "SOURCE_VOLUNTARY" ? "whoever runs this server has looked" : "somebody has reported it";
  return automated === "Yes" ? `${how}; a machine has pointed at it, and a person has decided` : how;
}
