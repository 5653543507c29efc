import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FILE_BYTES_MAX, KeyFileError, readKeys } from "../../streamd/doors/web/static/console/key_file.js";

const SECRET = "Xk29sQm4Tz81LdRw";
const HASH = "a".repeat(64);

/** @param {string | Uint8Array} file */
const read = (file) =>
  readKeys(Uint8Array.from(typeof file === "string" ? new TextEncoder().encode(file) : file).buffer);

/** @param {string | Uint8Array} file */
function faultsOf(file) {
  try {
    read(file);
  } catch (error) {
    assert.ok(error instanceof KeyFileError);
    return error.faults;
  }
  return [];
}

const ALICE = { user: "alice", secret: SECRET, label: "", expires_at: null, line: 1 };

describe("a CSV file", () => {
  test("without a line of names has the columns of the documentation", () => {
    assert.deepEqual(read(`alice,${SECRET},studio,2027-01-31\n`), [
      { ...ALICE, label: "studio", expires_at: "2027-01-31T00:00:00.000Z" },
    ]);
    assert.deepEqual(read(`alice,${SECRET}`), [ALICE]);
  });

  test("may name its columns, as other services do, in any order", () => {
    for (const names of ["key,name", "Stream_Key,CHANNEL", "secret,user"]) {
      assert.deepEqual(read(`${names}\r\n${SECRET},alice\r\n`), [{ ...ALICE, line: 2 }]);
    }
    assert.deepEqual(read(`user;sha256\nalice;${HASH}`), [
      { user: "alice", secret_sha256: HASH, label: "", expires_at: null, line: 2 },
    ]);
    assert.deepEqual(read(`alice\tsha256:${HASH}`)[0].secret_sha256, HASH);
  });

  test("has cells in quotes, with line ends in them, and the line of each key", () => {
    const rows = read(`alice,${SECRET},"a ""label"", and\nanother line"\n\nbob,${SECRET}b\n`);
    assert.deepEqual(
      rows.map(({ user, label, line }) => [user, label, line]),
      [
        ["alice", 'a "label", and\nanother line', 1],
        ["bob", "", 4],
      ],
    );
  });

  test("begins with a byte order mark where a spreadsheet wrote it", () => {
    assert.deepEqual(read(`\ufeffuser,secret\nalice,${SECRET}`), [{ ...ALICE, line: 2 }]);
  });
});

describe("JSON lines", () => {
  test("have the same names", () => {
    assert.deepEqual(
      read(`{"user":"alice","secret":"${SECRET}","expires":"2027-01-31 18:00"}\n\n{"name":"bob","sha256":"${HASH}"}`),
      [
        { ...ALICE, expires_at: "2027-01-31T18:00:00.000Z" },
        { user: "bob", secret_sha256: HASH, label: "", expires_at: null, line: 3 },
      ],
    );
    assert.equal(
      read(`{"user":"a","secret":"x","expires":"2027-01-31T18:00:00+02:00"}`)[0].expires_at,
      "2027-01-31T16:00:00.000Z",
    );
  });
});

describe("a file with faults", () => {
  test("is refused with all of them, each with its line, and none has a secret in it", () => {
    const files = {
      "": ["The file has no keys in it."],
      [`user,secret,${SECRET}\nalice,x`]: ["line 1: a column is unknown"],
      [`user,secret\nalice,${SECRET},${SECRET}`]: ["line 2: there are 3 cells, and 2 columns"],
      [`alice,"${SECRET}`]: ["line 1: this is not CSV"],
      [`alice,"${SECRET}"x`]: ["line 1: this is not CSV"],
      [`alice,${SECRET},,soon\nbob,${SECRET},,2027-13-31`]: ["line 1: write the expiry", "line 2: write the expiry"],
      [`{"user":"alice"\n{"user":1}\n[]\n{"${SECRET}":"x"}`]: [
        "line 1: this is not JSON",
        "line 2: user is not text",
        "line 3: this is not a JSON object",
        "line 4: a name is unknown",
      ],
    };
    for (const [file, faults] of Object.entries(files)) {
      const found = faultsOf(file);
      assert.equal(found.length, faults.length, found.join());
      for (const [at, fault] of faults.entries()) assert.ok(found[at].startsWith(fault), `${found[at]} / ${fault}`);
      assert.ok(!found.join().includes(SECRET));
    }
  });

  test("is read only where it is text, and not too long", () => {
    assert.deepEqual(faultsOf(Uint8Array.of(0xff, 0xfe, 0x41)), ["The file is not UTF-8."]);
    assert.match(faultsOf(new Uint8Array(FILE_BYTES_MAX + 1))[0], /^The file has more than 2 MB/);
  });
});
