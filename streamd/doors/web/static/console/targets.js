// The other servers that a user's broadcasts are passed on to: what becomes of them, and the acts on them.

import { ask, messageOf, open } from "../asking.js";
import { element, setText } from "../dom.js";
import { KeyedList } from "../keyed_list.js";
import { say } from "../notice.js";
import { actsOf, nameOf } from "../restreaming.js";
import { targetRow } from "../target_row.js";
import { tell } from "./dialogs.js";

const LOOK_MS = 1_000;

/**
 * Show the targets of a user, as they change, until the dialog is closed.
 *
 * @param {any} client
 * @param {string} user
 * @param {() => boolean} isLive a broadcast of theirs runs
 */
export function showTargets(client, user, isLive) {
  const path = `/api/v1/users/${user}/targets`;
  const notice = element("div", { class: "notice-box", role: "status" });
  const rows = element("ul", { class: "targets" });
  const fault = element("p", { class: "form-error", role: "alert" });
  const list = new KeyedList(rows, (/** @type {RestreamTarget} */ target) => target.id, newRow);
  const close = element("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = open(
    `Where the broadcasts of ${user} go`,
    notice,
    rows,
    fault,
    element("div", { class: "buttons" }, close),
  );
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  dialog.addEventListener("close", () => clearTimeout(timer));
  close.focus();
  look();

  async function look() {
    clearTimeout(timer);
    // A page in the background shows them to nobody.
    if (!document.hidden) await read();
    // Another look may have begun meanwhile.
    clearTimeout(timer);
    if (dialog.open) timer = setTimeout(look, LOOK_MS);
  }

  async function read() {
    try {
      const { targets } = await client.get(path);
      list.show(targets);
      if (targets.length > 0) notice.replaceChildren();
      else if (!notice.hasChildNodes())
        say(notice, "Nowhere but here", "The user adds servers in their studio; the command is streamd targets add.");
      setText(fault, "");
    } catch (error) {
      setText(fault, messageOf(error));
    }
  }

  /** @param {RestreamTarget} target */
  function newRow(target) {
    let now = target;
    /** @type {(method: "post" | "delete", path: string, done: string) => Promise<void>} */
    const act = async (method, where, done) => {
      try {
        await client[method](where);
        tell(done);
        await look();
      } catch (error) {
        setText(fault, messageOf(error));
      }
    };
    const row = targetRow({
      Start: () => act("post", `${path}/${now.id}/start`, `${nameOf(now)} is started.`),
      Stop: () => act("post", `${path}/${now.id}/stop`, `${nameOf(now)} is stopped for this broadcast.`),
      Remove: async () => {
        const done = await ask({
          title: `Remove ${nameOf(now)}?`,
          body: [
            element(
              "p",
              { class: "callout danger" },
              `The broadcasts of ${user} go there no more, and the stream key is forgotten.`,
            ),
          ],
          confirm: "Remove the server",
          isDangerous: true,
          act: () => client.delete(`${path}/${now.id}`),
        });
        if (done) {
          tell(`${nameOf(now)} is removed.`);
          await look();
        }
      },
    });
    row.buttons.Remove.classList.add("needs-users");
    for (const name of ["Start", "Stop"]) row.buttons[name].classList.add("needs-streams");
    return {
      root: row.root,
      /** @param {RestreamTarget} fresh */
      update(fresh) {
        now = fresh;
        const { mayStart, mayStop } = actsOf(fresh, isLive());
        row.buttons.Start.hidden = !mayStart;
        row.buttons.Stop.hidden = !mayStop;
        row.show(fresh);
      },
    };
  }
}
