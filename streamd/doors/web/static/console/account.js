// The operator who has signed in: their name, the rights of their role, and their authenticator.
//
// <body data-rights> has the rights of the role; console/rights.css shows nobody what they may not do. The server
// refuses it all the same.

import { ask, textField } from "../asking.js";
import { copyable } from "../copying.js";
import { byId, element, setText } from "../dom.js";
import { tell } from "./dialogs.js";

const CODE = { inputmode: "numeric", autocomplete: "one-time-code", maxlength: 7, required: true, pattern: "[0-9 ]*" };

export class Account {
  #client;
  #onRights;
  /** @type {Session | null} */
  #session = null;

  /** @param onRights called when what may be done is another */
  constructor(client, onRights) {
    this.#client = client;
    this.#onRights = onRights;
    byId("who").addEventListener("click", () => this.#open());
  }

  /** Whether the role has a right; before the server has said so it has none. */
  may(right) {
    return this.#session?.rights.includes(right) ?? false;
  }

  /** The operator who has signed in, as the audit log names them; empty for nobody. */
  get name() {
    return this.#session?.name ?? "";
  }

  /** Learn who has signed in, also where that was in another tab or at another time. */
  async learn() {
    this.#show(await this.#client.get("/api/v1/session"));
  }

  /** Nobody has. */
  forget() {
    this.#session = null;
    delete document.body.dataset.rights;
    setText(byId("who"), "");
  }

  #show(session) {
    const rights = session.rights.join(" ");
    const isNew = document.body.dataset.rights !== rights;
    this.#session = session;
    document.body.dataset.rights = rights;
    setText(byId("who"), session.name === session.role ? session.name : `${session.name} · ${session.role}`);
    if (isNew) this.#onRights();
  }

  async #open() {
    const session = this.#session;
    if (!session) return;
    // Root has no authenticator, and the operators to see to.
    if (session.name === "root") location.hash = "#/operators";
    else if (session.totp) await this.#remove();
    else await this.#setUp(session);
  }

  async #setUp(session) {
    const { secret, uri } = await this.#client.post("/api/v1/session/totp");
    const done = await ask({
      title: `An authenticator for ${session.name}`,
      body: [
        element(
          "p",
          {},
          "From then on you sign in with your token and a code of it, and the token alone opens nothing: neither the console nor the API.",
        ),
        element(
          "p",
          {},
          "Enter this key in an authenticator app, or open the link on the device that has it. It is shown this once.",
        ),
        copyable("Key", secret, { id: "totp-secret", isSecret: true }),
        element("p", {}, element("a", { href: uri, id: "totp-link" }, "Open in an authenticator")),
      ],
      fields: [textField("Code that it shows", CODE)],
      confirm: "Set it up",
      act: (code) => this.#client.post("/api/v1/session/totp/confirm", { code }),
    });
    if (!done) return;
    this.#show(done);
    tell("Set up. The next time, a code is asked for.");
  }

  async #remove() {
    const done = await ask({
      title: "Remove your authenticator?",
      body: [element("p", {}, "Your token alone signs you in again, and opens the API.")],
      fields: [textField("Code that it shows", CODE)],
      confirm: "Remove it",
      isDangerous: true,
      act: (code) => this.#client.post("/api/v1/session/totp/remove", { code }),
    });
    if (!done) return;
    this.#show(done);
    tell("Removed.");
  }
}
