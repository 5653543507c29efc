// The other servers that the broadcasts are passed on to: what becomes of each, and what the broadcaster does about it.

import { ask as question, textField } from "../asking.js";
import { byId, element, setText } from "../dom.js";
import { KeyedList } from "../keyed_list.js";
import { say, sayFault } from "../notice.js";
import { actsOf, nameOf, SERVICES } from "../restreaming.js";
import { targetRow } from "../target_row.js";
import { act } from "./server.js";

const URL_FIELD = {
  required: true,
  maxlength: 1024,
  inputmode: "url",
  placeholder: "rtmps://HOST/APP",
  pattern: "\\s*[Rr][Tt][Mm][Pp][Ss]?://.+",
  title: "rtmp://HOST/APP or rtmps://HOST/APP",
};
// Browsers are not to keep it among their passwords, nor to offer the one of this page.
const KEY_FIELD = { type: "password", maxlength: 512, autocomplete: "new-password" };

export class OwnTargets {
  #generation = 0;
  #isReading = false;
  #isLive = false;
  #isKnown = false;
  #list = new KeyedList(
    byId("targets"),
    (/** @type {RestreamTarget} */ target) => target.id,
    (target) => this.#newRow(target),
  );

  constructor() {
    byId("targets-add").addEventListener("click", () => this.#add());
  }

  /**
   * Read them again, with each look at how things stand.
   *
   * @param {number} max how many there may be; 0 where nothing is passed on
   * @param {boolean} isLive a broadcast runs
   */
  follow(max, isLive) {
    this.#isLive = isLive;
    byId("targets-section").hidden = max === 0;
    if (max === 0) return;
    // A page in the background shows them to nobody.
    if (!this.#isReading && !(this.#isKnown && document.hidden)) this.#read();
  }

  /** Nothing of them stays on the page. */
  clear() {
    this.#generation += 1;
    this.#isReading = false;
    this.#isKnown = false;
    this.#list.show([]);
    byId("targets-section").hidden = true;
    byId("targets-notice").replaceChildren();
  }

  async #read() {
    this.#generation += 1;
    const generation = this.#generation;
    this.#isReading = true;
    try {
      /** @type {OwnTargetList} */
      const { targets, targets_max: max } = await act("GET", "targets");
      if (generation !== this.#generation) return;
      this.#isKnown = true;
      this.#list.show(targets);
      byId("targets-add").hidden = targets.length >= max;
      if (targets.length > 0) byId("targets-notice").replaceChildren();
      else if (!byId("targets-notice").hasChildNodes())
        say(
          byId("targets-notice"),
          "Your broadcasts are watched here alone",
          "Add YouTube, Twitch, Facebook or another RTMP server, and they go there too, as they come from your encoder.",
        );
    } catch (error) {
      if (generation === this.#generation && !this.#isKnown)
        sayFault(byId("targets-notice"), "The servers could not be read", error, () => this.#read());
    } finally {
      if (generation === this.#generation) this.#isReading = false;
    }
  }

  /** @param {RestreamTarget} target */
  #newRow(target) {
    let now = target;
    const row = targetRow({
      Start: () => this.#try(row, "POST", `targets/${now.id}/start`),
      Stop: () => this.#try(row, "POST", `targets/${now.id}/stop`),
      "Switch on": () => this.#try(row, "PATCH", `targets/${now.id}`, { enabled: !now.enabled }),
      Change: () => this.#change(now),
      Remove: () => this.#remove(now),
    });
    const fault = element("p", { class: "form-error", role: "alert" });
    row.root.append(fault);
    return {
      root: row.root,
      fault,
      /** @param {RestreamTarget} fresh */
      update: (fresh) => {
        now = fresh;
        const { mayStart, mayStop, switchTo } = actsOf(fresh, this.#isLive);
        setText(row.buttons["Switch on"], switchTo ? "Switch on" : "Switch off");
        row.buttons.Start.hidden = !mayStart;
        row.buttons.Stop.hidden = !mayStop;
        row.show(fresh);
      },
    };
  }

  /**
   * Do something at once; what goes wrong is said in the row.
   *
   * @param {{root: HTMLElement, buttons: Record<string, HTMLButtonElement>}} row
   * @param {string} method
   * @param {string} path
   * @param {object} [content]
   */
  async #try(row, method, path, content) {
    const fault = row.root.lastElementChild ?? row.root;
    for (const button of Object.values(row.buttons)) button.disabled = true;
    try {
      await act(method, path, content);
      setText(fault, "");
    } catch (error) {
      setText(fault, error instanceof Error ? error.message : String(error));
    }
    for (const button of Object.values(row.buttons)) button.disabled = false;
    this.#read();
  }

  async #add() {
    const url = textField("Server", { ...URL_FIELD, hint: "What the service calls stream URL, server or ingest." });
    const label = textField("Name", { maxlength: 100, hint: "For you. May stay empty." });
    const presets = Object.entries(SERVICES).map(([name, address]) =>
      element("button", { class: "button small", type: "button", onclick: () => fill(name, address) }, name),
    );
    /** @type {(name: string, address: string) => void} */
    function fill(name, address) {
      byInput(url).value = address;
      byInput(label).value = name;
      byInput(key).focus();
    }
    const key = textField("Stream key", {
      ...KEY_FIELD,
      required: true,
      hint: "The one of the other service. It is kept locked, and shown to nobody again.",
    });
    const added = await question({
      title: "Pass your broadcasts on",
      body: [element("div", { class: "buttons presets", role: "group", "aria-label": "A service" }, ...presets)],
      fields: [url, key, label],
      confirm: "Add",
      act: (address, secret, name) => act("POST", "targets", { url: address, stream_key: secret, label: name }),
    });
    if (added) {
      byId("targets-notice").replaceChildren();
      this.#read();
    }
  }

  /** @param {RestreamTarget} target */
  async #change(target) {
    const done = await question({
      title: `Change “${nameOf(target)}”`,
      fields: [
        textField("Server", { ...URL_FIELD, value: target.url, hint: "Another server needs its stream key below." }),
        textField("Stream key", { ...KEY_FIELD, hint: `Empty: the one that ends in ${target.key_hint} stays.` }),
        textField("Name", { maxlength: 100, value: target.label }),
      ],
      confirm: "Save",
      act: (url, secret, label) =>
        act("PATCH", `targets/${target.id}`, {
          ...(url === target.url ? {} : { url }),
          ...(secret ? { stream_key: secret } : {}),
          ...(label === target.label ? {} : { label }),
        }),
    });
    if (done) this.#read();
  }

  /** @param {RestreamTarget} target */
  async #remove(target) {
    const done = await question({
      title: `Remove “${nameOf(target)}”?`,
      body: [
        element(
          "p",
          { class: "callout danger" },
          "Your broadcasts go there no more, one that runs is cut off there, and its stream key is forgotten.",
        ),
      ],
      confirm: "Remove the server",
      isDangerous: true,
      act: () => act("DELETE", `targets/${target.id}`),
    });
    if (done) this.#read();
  }
}

/**
 * The input of a field.
 *
 * @param {Field} field
 * @returns {HTMLInputElement}
 */
function byInput({ row }) {
  const input = row.querySelector("input");
  if (input === null) throw new Error("the field has no input");
  return input;
}
