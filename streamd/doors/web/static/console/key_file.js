// Files of keys from elsewhere: CSV or JSON lines, each key with the line that it is on. No fault repeats a secret. The
// rules are those of `streamd keys import`.

// Some ten thousand keys; the command line takes more.
export const FILE_BYTES_MAX = 2 * 1024 * 1024;
const COLUMNS = ["user", "secret", "label", "expires"];
/** The names that other services have for them. */
const NAMES = new Map([
  ["user", "user"],
  ["name", "user"],
  ["channel", "user"],
  ["secret", "secret"],
  ["key", "secret"],
  ["stream_key", "secret"],
  ["secret_sha256", "secret_sha256"],
  ["sha256", "secret_sha256"],
  ["label", "label"],
  ["expires", "expires_at"],
  ["expires_at", "expires_at"],
]);
const KNOWN_NAMES = [...NAMES.keys()].join(", ");
const HASH_PREFIX = "sha256:";
const DAY = /^\d{4}-\d\d-\d\d$/;
const INSTANT = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/i;

/** A file that cannot be read; its faults are one a line. */
export class KeyFileError extends Error {
  /** @param {string[]} faults */
  constructor(faults) {
    super(faults.join("\n"));
    this.faults = faults;
  }
}

/**
 * @typedef {{user: string, secret?: string, secret_sha256?: string, label: string, expires_at: string | null,
 *   line: number}} KeyInFile
 * @typedef {{line: number, row?: Record<string, unknown>, fault?: string}} Line
 */

/**
 * Read a file.
 *
 * @param {ArrayBuffer} bytes UTF-8; JSON lines where it begins with `{`, else CSV with commas, semicolons or tabs. The
 *   first line of a CSV file may name its columns; without, they are user, secret, label and expires.
 * @returns {KeyInFile[]}
 * @throws {KeyFileError} with all lines that cannot be read
 */
export function readKeys(bytes) {
  if (bytes.byteLength > FILE_BYTES_MAX) {
    throw new KeyFileError([`The file has more than ${FILE_BYTES_MAX >> 20} MB: use streamd keys import.`]);
  }
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new KeyFileError(["The file is not UTF-8."]);
  }
  /** @type {KeyInFile[]} */
  const keys = [];
  /** @type {string[]} */
  const faults = [];
  for (const { line, row, fault } of text.trimStart().startsWith("{") ? jsonLines(text) : csvLines(text)) {
    try {
      if (row === undefined) throw new Error(fault);
      keys.push(keyOf(row, line));
    } catch (error) {
      faults.push(`line ${line}: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (keys.length === 0 && faults.length === 0) faults.push("The file has no keys in it.");
  if (faults.length > 0) throw new KeyFileError(faults);
  return keys;
}

/**
 * @param {string} text
 * @returns {Generator<Line>}
 */
function* jsonLines(text) {
  for (const [at, written] of text.split("\n").entries()) {
    if (!written.trim()) continue;
    let row;
    try {
      row = JSON.parse(written);
    } catch {
      yield { line: at + 1, fault: "this is not JSON" };
      continue;
    }
    if (row === null || typeof row !== "object" || Array.isArray(row)) {
      yield { line: at + 1, fault: "this is not a JSON object" };
    } else yield { line: at + 1, row };
  }
}

/**
 * @param {string} text
 * @returns {Generator<Line>}
 */
function* csvLines(text) {
  const first = text.split("\n", 1)[0];
  const delimiter = [",", ";", "\t"].reduce((one, other) =>
    first.split(other).length > first.split(one).length ? other : one,
  );
  /** @type {string[] | null} */
  let names = null;
  for (const { line, cells, fault } of csvRows(text, delimiter)) {
    if (fault) {
      yield { line, fault };
      return;
    }
    if (!cells.some((cell) => cell.trim())) continue;
    if (names === null) {
      names = cells.map((cell) => cell.trim().toLowerCase());
      const meant = names.map((name) => NAMES.get(name));
      if (names.includes("user") || (meant.includes("user") && meant.includes("secret"))) {
        if (meant.includes(undefined)) {
          // Not which: it may be a secret that stands in the wrong place.
          yield { line, fault: `a column is unknown; there are ${KNOWN_NAMES}` };
          return;
        }
        continue;
      }
      names = COLUMNS;
    }
    if (cells.length > names.length) {
      yield { line, fault: `there are ${cells.length} cells, and ${names.length} columns` };
      continue;
    }
    yield { line, row: Object.fromEntries(cells.map((cell, at) => [/** @type {string[]} */ (names)[at], cell])) };
  }
}

/**
 * The rows of a CSV file (RFC 4180), each with the line that it begins on: a cell in quotes may have line ends in it.
 *
 * @param {string} text
 * @param {string} delimiter
 * @returns {Generator<{line: number, cells: string[], fault?: string}>}
 */
function* csvRows(text, delimiter) {
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const begin = line;
    /** @type {string[]} */
    const cells = [];
    let isOver = false;
    while (!isOver) {
      let cell = "";
      if (text[at] === '"') {
        for (;;) {
          const end = text.indexOf('"', at + 1);
          if (end < 0) {
            yield { line: begin, cells, fault: "this is not CSV: a quote is open or stands inside a cell" };
            return;
          }
          cell += text.slice(at + 1, end);
          at = end + 1;
          if (text[at] !== '"') break;
          cell += '"';
        }
        line += cell.split("\n").length - 1;
        if (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") {
          yield { line: begin, cells, fault: "this is not CSV: a quote is open or stands inside a cell" };
          return;
        }
      } else {
        const begun = at;
        while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
        cell = text.slice(begun, at);
      }
      cells.push(cell);
      if (text[at] === delimiter) {
        at += 1;
        continue;
      }
      if (text[at] === "\r") at += 1;
      if (text[at] === "\n") at += 1;
      line += 1;
      isOver = true;
    }
    yield { line: begin, cells };
  }
}

/**
 * @param {Record<string, unknown>} row
 * @param {number} line
 * @returns {KeyInFile}
 */
function keyOf(row, line) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [given, value] of Object.entries(row)) {
    const name = NAMES.get(given);
    if (name === undefined) throw new Error(`a name is unknown; there are ${KNOWN_NAMES}`);
    if (value !== null && typeof value !== "string") throw new Error(`${given} is not text`);
    if (value) found[name] = name === "secret" ? value : value.trim();
  }
  let { secret, secret_sha256: sha256 } = found;
  if (secret?.startsWith(HASH_PREFIX) && sha256 === undefined) {
    sha256 = secret.slice(HASH_PREFIX.length).trim();
    secret = /** @type {any} */ (undefined);
  }
  return {
    user: found.user ?? "",
    ...(secret === undefined ? {} : { secret }),
    ...(sha256 === undefined ? {} : { secret_sha256: sha256 }),
    label: found.label ?? "",
    expires_at: found.expires_at ? instant(found.expires_at) : null,
    line,
  };
}

/** @param {string} text without a zone it is UTC */
function instant(text) {
  const isDay = DAY.test(text);
  const [, , , zone] = INSTANT.exec(text) ?? [];
  const at = new Date(isDay ? `${text}T00:00:00Z` : `${text.replace(" ", "T")}${zone ? "" : "Z"}`);
  if (!(isDay || INSTANT.test(text)) || Number.isNaN(at.getTime())) {
    throw new Error("write the expiry as 2027-01-31 or 2027-01-31T18:00:00Z");
  }
  return at.toISOString();
}
