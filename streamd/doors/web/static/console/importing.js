// Keys that exist elsewhere are taken over: the whole file is checked, also by the server, before anything is written.

import { ask } from "../asking.js";
import { element } from "../dom.js";
import { count } from "../format.js";
import { ApiError } from "./client.js";
import { tell } from "./dialogs.js";
import { readKeys } from "./key_file.js";

// As the server takes them at once.
const KEYS_AT_ONCE = 200;
// Somebody who has so many faults in a file begins with these.
const FAULTS_SHOWN = 20;

/** Ask for a file, check it, say what would be, and do it. */
export async function importKeys(client) {
  const file = element("input", {
    type: "file",
    accept: ".csv,.tsv,.txt,.json,.jsonl,.ndjson",
    required: true,
    id: "import-file",
  });
  const weak = element("input", { type: "checkbox", id: "import-weak" });
  const checked = await ask({
    title: "Import stream keys",
    body: [
      element(
        "p",
        {},
        "Encoders keep the key they have. A CSV file has the columns user, secret, label and expires; JSON lines have fields of these names. In place of a secret its SHA-256 will do: secret_sha256.",
      ),
      element("div", { class: "field" }, element("label", { for: "import-file" }, "File"), file),
      element(
        "div",
        { class: "field check" },
        weak,
        element("label", { for: "import-weak" }, "Take secrets, too, that are short enough to be guessed"),
      ),
    ],
    confirm: "Check the file",
    act: async () => {
      const keys = readKeys(await /** @type {FileList} */ (file.files)[0].arrayBuffer());
      return { keys, allowsWeak: weak.checked, ...(await send(client, keys, weak.checked, true)) };
    },
  });
  if (!checked) return;
  const { keys, allowsWeak, imported, known } = checked;
  const users = new Set(keys.map(({ user }) => user)).size;
  const hashes = keys.filter(({ secret_sha256: sha256 }) => sha256 !== undefined).length;
  if (imported === 0) {
    tell(`Nothing to do: ${count(known, "key")} of the file ${known === 1 ? "is" : "are"} here already.`);
    return;
  }
  const done = await ask({
    title: `Import ${count(imported, "key")}?`,
    body: [
      element("p", { class: "callout" }, `The file is good: ${count(keys.length, "key")} for ${count(users, "user")}.`),
      known > 0
        ? element(
            "p",
            {},
            `${count(known, "key")} of it ${known === 1 ? "is" : "are"} here already, and stay unchanged.`,
          )
        : element("p"),
      hashes > 0
        ? element(
            "p",
            {},
            `${count(hashes, "key")} came as hashes: whether such secrets are long enough cannot be seen.`,
          )
        : element("p"),
      element("p", { class: "hint" }, "Only hashes are stored here. Keep the file from others, or delete it."),
    ].filter((line) => line.childNodes.length > 0),
    confirm: "Import them",
    act: () => send(client, keys, allowsWeak, false),
  });
  if (done) tell(`${count(done.imported, "key")} imported.`);
}

/**
 * Send all keys, some at a time.
 *
 * @param {import("./client.js").Client} client
 * @param {import("./key_file.js").KeyInFile[]} keys
 * @param {boolean} allowsWeak
 * @param {boolean} isCheck nothing is written; all faults are found before it is refused
 */
async function send(client, keys, allowsWeak, isCheck) {
  const result = { imported: 0, known: 0 };
  /** @type {string[]} */
  const faults = [];
  for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
    const part = keys.slice(at, at + KEYS_AT_ONCE);
    try {
      const answer = await client.post("/api/v1/keys/import", {
        keys: part,
        allow_weak: allowsWeak,
        check_only: isCheck,
      });
      result.imported += answer.imported;
      result.known += answer.known;
    } catch (error) {
      if (isCheck && error instanceof ApiError && error.errors.length > 0) faults.push(...error.errors);
      else if (at === 0 || isCheck) throw error;
      else
        throw new Error(
          `Imported up to line ${part[0].line - 1}; import the file again for the rest. ${error instanceof Error ? error.message : error}`,
        );
    }
  }
  if (faults.length > 0) {
    const rest = faults.length - FAULTS_SHOWN;
    const more = rest > 0 ? [`and ${count(rest, "more fault")}`] : [];
    throw new Error(["Nothing was imported:", ...faults.slice(0, FAULTS_SHOWN), ...more].join("\n"));
  }
  return result;
}
