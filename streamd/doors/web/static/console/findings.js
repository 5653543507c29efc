// What the machine has found in pictures of a case, and what a person makes of it. It decides nothing.

import { element } from "../dom.js";
import { time } from "./list.js";

/** How many labels of a classifier are shown: the others are faces and feet. */
const SCORES_SHOWN = 5;
const WORDS_SHOWN = 12;

/** What was judged of a finding, in words; empty where nobody has. */
function verdict({ agreed, judged_by: by }) {
  if (agreed === null) return "";
  return agreed ? `${by} saw it too. ` : `${by} did not see it. `;
}

/**
 * The content of one finding's line.
 *
 * @param finding as the API has it
 * @param {(agreed: boolean) => void} judge called with what the person makes of it
 */
export function findingLine(finding, judge) {
  const button = (label, agreed) =>
    element(
      "button",
      {
        class: "button small act",
        type: "button",
        "aria-pressed": String(finding.agreed === agreed),
        onclick: () => judge(agreed),
      },
      label,
    );
  const scores = finding.scores.slice(0, SCORES_SHOWN).map(({ label, score }) => `${label} ${score.toFixed(2)}`);
  const words = finding.words.slice(0, WORDS_SHOWN);
  return [
    element("strong", {}, finding.signs.join("; ") || "Nothing was found"),
    " ",
    time(finding.at),
    scores.length ? element("span", { class: "extra" }, `Scores: ${scores.join(", ")}`) : null,
    ...finding.same_picture.map((each) =>
      element(
        "span",
        { class: "extra" },
        element("a", { href: `#/cases/${each.case_id}` }, "The same picture elsewhere"),
      ),
    ),
    words.length ? element("blockquote", { class: "said", dir: "auto" }, words.join("\n")) : null,
    finding.assistant?.summary
      ? element("span", { class: "extra" }, `The assistant, whom nobody has checked: ${finding.assistant.summary}`)
      : null,
    finding.fault ? element("span", { class: "extra" }, `Not looked for: ${finding.fault}`) : null,
    finding.signs.length
      ? element(
          "span",
          { class: "buttons" },
          verdict(finding),
          button("I see it too", true),
          button("It is wrong", false),
        )
      : null,
  ];
}
