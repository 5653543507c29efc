// How well a stream arrives, in words and a colour that says the same.

import { element, setText } from "./dom.js";
import { KeyedList } from "./keyed_list.js";

export const STATUS = {
  good: "Healthy",
  ok: "Fair",
  bad: "Poor",
  no_data: "No media",
};

/** "Healthy" is said only where nothing is to be said beside it. */
export function healthName(status, findings) {
  return status === "good" && findings > 0 ? "Good" : (STATUS[status] ?? status);
}

/** A label that shows the health of a stream. */
export class HealthBadge {
  root = element("span", { class: "pill" });

  update({ status, findings }) {
    this.root.dataset.level = status;
    setText(this.root, healthName(status, findings.length));
  }
}

/** A fault, and the change that mends it. */
export class Findings {
  root = element("ul", { class: "findings" });
  #list = new KeyedList(
    this.root,
    (finding) => finding.code,
    () => {
      const message = element("strong");
      const advice = element("span");
      const root = element("li", {}, message, " ", advice);
      return {
        root,
        update(finding) {
          root.dataset.level = finding.severity;
          setText(message, finding.message);
          setText(advice, finding.advice);
        },
      };
    },
  );

  update({ findings }) {
    this.#list.show(findings);
    this.root.hidden = findings.length === 0;
  }
}
