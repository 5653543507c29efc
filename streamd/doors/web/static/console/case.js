// One case, or one target without a case: what is known of it, in one place, with what can be done.

import { ask, messageOf, textField } from "../asking.js";
import { element } from "../dom.js";
import { count, size } from "../format.js";
import { addBlock, blockLine, removeBlock } from "./blocks.js";
import { findingLine } from "./findings.js";
import { time } from "./list.js";
import { Preview } from "./preview.js";

export const STATES = { open: "Waiting", claimed: "Being looked at", decided: "Decided" };
const LEVELS = { open: "warning", claimed: "good", decided: "over" };
const OUTCOMES = { taken_down: "Taken down", no_action: "Left as it is" };
const APPEALS = { open: "waits", upheld: "the decision stays", reversed: "the decision is undone" };
const KINDS = { channel: "Channel", key: "Stream key", recording: "Recording", clip: "Clip" };
const PICTURE = "keyframe.jpg";
const BLURRED = "blurred.jpg";
const NEWEST = 10;

/** How a case stands. */
export function statePill(shown) {
  const who = shown.claimed_by && shown.state === "claimed" ? ` by ${shown.claimed_by}` : "";
  return element("span", { class: "pill", "data-level": LEVELS[shown.state] }, STATES[shown.state] + who);
}

function act(label, run, isDangerous = false) {
  return element("button", { class: `button act${isDangerous ? " danger" : ""}`, type: "button", onclick: run }, label);
}

function part(title, ...content) {
  return element("section", { class: "case-part" }, element("h3", {}, title), ...content);
}

function lines(items, lineOf, empty = "") {
  return items.length
    ? element("ul", { class: "lines" }, ...items.map((item) => element("li", {}, ...[lineOf(item)].flat())))
    : element("p", { class: "hint" }, empty);
}

export class CasePage {
  #client;
  #account;
  #origin;
  #deciding;
  #root;
  #onChange;
  /** Addresses of pictures that the page holds. */
  #held = [];
  /** The target that is shown, or is being read to be. */
  #named = "";
  #turn = 0;
  /**
   * Pictures by their piece of evidence. They stay while the page of their case is read anew: each time that one is
   * sent is a row of the audit log, and what was revealed is not hidden by the next report.
   *
   * @type {Map<string, HTMLElement>}
   */
  #frames = new Map();
  /** @type {Preview | null} of what is live, where somebody has asked to see it */
  #preview = null;

  /**
   * @param origin of the public port
   * @param onChange called when something was done
   */
  constructor(root, client, account, origin, deciding, onChange) {
    this.#root = root;
    this.#client = client;
    this.#account = account;
    this.#origin = origin;
    this.#deciding = deciding;
    this.#onChange = onChange;
  }

  /** Nothing of it stays on the page. */
  clear() {
    for (const url of this.#held) URL.revokeObjectURL(url);
    this.#held = [];
    this.#named = "";
    this.#turn += 1;
    this.#frames.clear();
    this.#preview?.remove();
    this.#preview = null;
    this.#root.replaceChildren();
  }

  /** Show a case by its id. */
  async showCase(id) {
    await this.#load(
      id,
      async () => {
        const shown = await this.#client.get(`/api/v1/cases/${id}`);
        // Without the machine, or the right to decide, there are none.
        const findings = this.#client.get(`/api/v1/cases/${id}/findings`).catch(() => ({ findings: [] }));
        return { shown, known: await this.#known(shown.target, shown.id), ...(await findings) };
      },
      ({ shown, known, findings }) => [
        ...this.#head(shown),
        ...this.#reported(shown, findings),
        ...this.#about(shown.target, shown.id, known),
        ...this.#decided(shown),
      ],
    );
  }

  /** Show what a moderator has named, which need not be in any case. */
  async showTarget(target) {
    await this.#load(
      `${target.kind} ${target.id}`,
      () => this.#known(target, ""),
      (known) => [
        this.#back(),
        element("h2", {}, `${KINDS[target.kind]} ${target.id}`),
        element(
          "div",
          { class: "buttons" },
          this.#watch(target),
          act("Take it down", () => this.#then(this.#deciding.takeDown(target)), true),
          this.#block(target),
        ),
        ...this.#about(target, "", known),
      ],
    );
  }

  /** Read, and show what was read, unless something else is to be shown by then: nobody decides over another case. */
  async #load(named, read, shownOf) {
    if (named !== this.#named) this.clear();
    this.#named = named;
    this.#turn += 1;
    const turn = this.#turn;
    try {
      const found = await read();
      if (turn === this.#turn) this.#root.replaceChildren(...shownOf(found));
    } catch (error) {
      if (turn === this.#turn) this.#fail(error);
    }
  }

  #fail(error) {
    this.clear();
    this.#root.append(this.#back(), element("p", { class: "form-error", role: "alert" }, messageOf(error)));
  }

  #back() {
    return element("a", { class: "button small", href: "#/cases" }, "All cases");
  }

  #watch(target) {
    return element(
      "a",
      { class: "button", href: this.#origin + target.path, target: "_blank", rel: "noopener" },
      "Look as viewers do",
    );
  }

  /** A key is blocked by its id, anything else as a channel is. */
  #block({ kind, id }) {
    const given = { kind: kind === "key" ? "key" : "channel", value: id };
    return act("Block it", () => this.#then(addBlock(this.#client, given)));
  }

  async #then(doing) {
    if (await doing) this.#onChange();
  }

  async #claim(shown) {
    try {
      await this.#client.post(`/api/v1/cases/${shown.id}/claim`);
      this.#onChange();
    } catch (error) {
      this.#fail(error);
    }
  }

  #head(shown) {
    const { target } = shown;
    const buttons = element("div", { class: "buttons" }, this.#watch(target));
    if (shown.state === "open") buttons.append(act("Take the case", () => this.#claim(shown)));
    if (shown.state === "claimed" && shown.claimed_by !== this.#account.name)
      buttons.append(act("Take it over", () => this.#then(this.#deciding.takeOver(shown))));
    if (shown.state === "decided") buttons.append(act("Reopen", () => this.#then(this.#deciding.reopen(shown))));
    else
      buttons.append(
        act("Leave it", () => this.#then(this.#deciding.leave(shown))),
        act("Take it down", () => this.#then(this.#deciding.takeDownCase(shown)), true),
      );
    buttons.append(
      act("Write a note", () => this.#then(this.#deciding.note(shown))),
      this.#block(target),
    );
    return [
      this.#back(),
      element("h2", {}, `${KINDS[target.kind]} ${target.id}: ${shown.title}`),
      element(
        "p",
        { class: "case-facts" },
        statePill(shown),
        shown.restricted ? element("span", { class: "pill", "data-level": "bad" }, "Restricted") : null,
        element(
          "span",
          {},
          `${count(shown.reports, "report")} by ${count(shown.reporters, "person", "people")}, priority ${shown.priority}`,
        ),
      ),
      buttons,
    ];
  }

  #reported(shown, findings) {
    const said = part(
      "What was said",
      lines(
        shown.newest_reports,
        (report) => [
          element("strong", {}, report.reference),
          " ",
          time(report.received_at),
          report.flagger ? element("span", { class: "pill", "data-level": "good" }, report.flagger) : null,
          report.at ? element("span", {}, " about ", time(report.at)) : null,
          element("blockquote", { class: "said", dir: "auto" }, report.explanation || "Nothing was written."),
          report.contact ? element("span", { class: "extra" }, `Contact: ${report.contact}`) : null,
        ],
        "No text was kept.",
      ),
    );
    if (!shown.machine_summary && findings.length === 0) return [said];
    const judge = (finding) => (agreed) => this.#judge(shown.id, finding.id, agreed);
    return [
      part(
        "What the machine saw",
        element("p", {}, `${shown.machine_summary} It decides nothing.`.trim()),
        findings.length ? lines(findings, (finding) => findingLine(finding, judge(finding))) : null,
      ),
      said,
    ];
  }

  /** Say whether the machine was right: that is its error rate. */
  async #judge(caseId, findingId, agreed) {
    try {
      await this.#client.post(`/api/v1/cases/${caseId}/findings/${findingId}/judge`, { agreed });
      this.#onChange();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The user, their streams and earlier cases: of a target with or without a case. */
  #known({ channel }, caseId) {
    const get = (path, query) => this.#client.get(path, query).catch(() => null);
    return Promise.all([
      get(`/api/v1/users/${channel}`),
      get(`/api/v1/streams/${channel}`),
      get("/api/v1/recordings", { user: channel, limit: NEWEST }),
      get("/api/v1/cases", { channel, order: "newest", limit: NEWEST }),
      get("/api/v1/takedowns", { channel, limit: NEWEST }),
      get("/api/v1/evidence", caseId ? { case_id: caseId } : { channel, limit: NEWEST }),
      get("/api/v1/blocks", { search: channel, limit: NEWEST }),
    ]);
  }

  /** The user, their streams and pictures, and what was before. */
  #about({ channel, id }, caseId, [user, stream, recordings, cases, takedowns, evidence, blocks]) {
    const known = [
      user ? `${channel}, ${user.state}` : `${channel}, whom no table has`,
      stream ? "live now" : "not live",
    ];
    const parts = [
      part(
        "Whose it is",
        element("p", {}, element("a", { href: `#/users/${channel}` }, known.join(", "))),
        this.#live(stream),
      ),
    ];
    if (evidence)
      parts.push(
        part(
          "Evidence",
          lines(evidence.evidence, (piece) => this.#piece(piece), "None is kept."),
        ),
      );
    if (recordings?.recordings.length)
      parts.push(
        part(
          "Recordings",
          lines(recordings.recordings, (each) => [
            element("a", { href: `#/cases/${each.id}` }, each.id),
            ` ${each.state} `,
            time(each.started_at),
          ]),
        ),
      );
    const others = (cases?.cases ?? []).filter((each) => each.id !== caseId);
    const blocked = (blocks?.blocks ?? []).filter(({ value }) => value === channel || value === id);
    parts.push(
      part(
        "Before",
        lines(
          [
            ...others.map((each) => [
              element("a", { href: `#/cases/${each.id}` }, `${each.title}: ${STATES[each.state]}`),
              " ",
              time(each.opened_at),
            ]),
            ...(takedowns?.takedowns ?? []).map((each) => this.#takedown(each)),
            ...blocked.map((each) => [
              ...blockLine(each),
              " ",
              act("Lift", () => this.#then(removeBlock(this.#client, each))),
            ]),
          ],
          (line) => line,
          "Nothing is known of this channel.",
        ),
      ),
    );
    return parts;
  }

  /** What is live, muted, for whoever asks to see it; it plays on while the page is read anew. */
  #live(stream) {
    if (!stream) {
      this.#preview?.remove();
      this.#preview = null;
      return null;
    }
    if (this.#preview) return this.#preview.root;
    const place = element("div");
    const show = () => {
      const ticket = () => this.#client.post(`/api/v1/streams/${stream.name}/preview`);
      this.#preview = new Preview(stream, this.#origin, ticket);
      place.replaceChildren(this.#preview.root);
    };
    place.append(element("button", { class: "button small", type: "button", onclick: show }, "Show it live"));
    return place;
  }

  #takedown(each) {
    const what = `${KINDS[each.target_kind]} ${each.target} taken down by ${each.made_by} `;
    return each.restored_at
      ? [what, time(each.made_at), `, restored by ${each.restored_by}`]
      : [what, time(each.made_at), " ", act("Restore", () => this.#then(this.#deciding.restore(each.id)))];
  }

  /** A piece of evidence: its picture, where that may be shown at once, and its files. */
  #piece(piece) {
    const facts = [time(piece.kept_at), ` ${Math.round(piece.media_s)} s of media, ${size(piece.bytes)}`];
    if (piece.deleted_at) return [...facts, `, deleted: ${piece.delete_reason}`];
    const place = `${piece.id} ${piece.restricted}`;
    const isNew = !this.#frames.has(place);
    const frame = this.#frames.get(place) ?? element("span", { class: "case-picture" });
    this.#frames.set(place, frame);
    const look = async (name, query = {}) => {
      try {
        frame.replaceChildren(await this.#picture(`/api/v1/evidence/${piece.id}/files/${name}`, query));
      } catch (error) {
        frame.replaceChildren(messageOf(error));
      }
    };
    const files = act("Files", async () => {
      const { files: names } = await this.#client.get(`/api/v1/evidence/${piece.id}`);
      const save = (name) => act(name, () => this.#reading(piece, (query) => this.#save(piece, name, query)));
      files.replaceWith(...names.map(save));
    });
    if (isNew && piece.has_picture && this.#account.may("takedown")) look(piece.restricted ? BLURRED : PICTURE);
    const reveal =
      piece.has_picture && piece.restricted
        ? act("Show it", () => this.#reading(piece, (query) => look(PICTURE, query)))
        : null;
    return [frame, ...facts, element("span", { class: "buttons" }, reveal, files)];
  }

  /** Read something of a piece; what is restricted needs a reason, which is written down. */
  async #reading(piece, read) {
    if (!piece.restricted) return read({});
    return ask({
      title: "This is restricted",
      body: [element("p", {}, "The audit log has that you have seen it, and why.")],
      fields: [textField("Reason", { required: true, maxlength: 500 })],
      confirm: "Show it",
      act: async (reason) => {
        await read({ reveal: true, reason });
      },
    });
  }

  async #picture(path, query) {
    const url = URL.createObjectURL(await this.#client.bytes(path, query));
    this.#held.push(url);
    return element("img", { src: url, alt: "Picture that was kept as evidence" });
  }

  async #save(piece, name, query) {
    const url = URL.createObjectURL(await this.#client.bytes(`/api/v1/evidence/${piece.id}/files/${name}`, query));
    this.#held.push(url);
    element("a", { href: url, download: `${piece.id}-${name}` }).click();
  }

  #decided(shown) {
    const decisions = part(
      "Decisions",
      lines(
        shown.decisions,
        (each) => [
          element("strong", {}, OUTCOMES[each.outcome]),
          ` by ${each.actor} `,
          time(each.at),
          each.reversed_at ? ", undone" : "",
          element("blockquote", { class: "said", dir: "auto" }, each.reason || each.statement?.decision_facts || ""),
        ],
        "Nobody has decided.",
      ),
    );
    const appeals = part(
      "Complaints",
      lines(shown.appeals, (each) => this.appealLine(each), "Nobody has complained."),
    );
    const history = part(
      "History",
      lines(
        shown.history,
        (each) => [time(each.at), ` ${each.actor} ${each.act}`, each.text ? `: ${each.text}` : ""],
        "Nothing was done.",
      ),
    );
    return [decisions, appeals, history];
  }

  /** A complaint, with the way to decide it where it waits. */
  appealLine(appeal) {
    return [
      element("strong", {}, appeal.reference),
      ` by the ${appeal.party}, ${APPEALS[appeal.state]} `,
      element("blockquote", { class: "said", dir: "auto" }, appeal.text),
      appeal.state === "open" ? act("Decide it", () => this.#then(this.#deciding.answer(appeal))) : null,
    ];
  }
}
