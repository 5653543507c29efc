import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ACTIONS, actionsCalled, auditQuery, csv } from "../../streamd/doors/web/static/console/audit_labels.js";
import { countriesOf } from "../../streamd/doors/web/static/console/blocks.js";
import { merged } from "../../streamd/doors/web/static/console/merging.js";
import { clockOf, lasting } from "../../streamd/doors/web/static/console/orders.js";
import { sorted } from "../../streamd/doors/web/static/console/sorting.js";

describe("the search of the audit log", () => {
  test("every name that the table shows finds its entries", () => {
    for (const [action, name] of Object.entries(ACTIONS)) {
      for (const text of [name, name.toUpperCase(), ` ${name} `, name.slice(1, -1)]) {
        assert.ok(auditQuery({ text, action: "", from: "", to: "" }).or_actions.split(",").includes(action), text);
      }
    }
    assert.deepEqual(actionsCalled("refused"), ["publish.denied", "studio.denied", "admin.denied"]);
  });

  test("a text that is no name, and none, ask for no actions", () => {
    assert.deepEqual(actionsCalled("alice"), []);
    assert.deepEqual(actionsCalled("  "), []);
  });

  test("days are those of the operator's calendar, both whole", () => {
    const { since, until } = auditQuery({ text: "", action: "", from: "2026-03-12", to: "2026-03-12" });
    assert.equal(since, new Date(2026, 2, 12).toISOString());
    assert.equal(until, new Date(2026, 2, 13).toISOString());
    assert.equal(auditQuery({ text: "", action: "", from: "", to: "" }).since, "");
  });

  test("a spreadsheet gets what was written, and no formula of a stranger's", () => {
    const row = {
      at: "2026-03-12T12:00:00Z",
      action: "key.revoked",
      user: null,
      reason: '=HYPERLINK("x"), a\nb',
      count: 1,
    };
    const [head, ...lines] = csv([row]).split("\r\n");
    assert.equal(head, "at,action,user,key_id,stream,subject,actor,address,reason,count");
    assert.deepEqual(lines, [`2026-03-12T12:00:00Z,key.revoked,,,,,,,"'=HYPERLINK(""x""), a\nb",1`, ""]);
  });
});

describe("a list that changes under who stands in it", () => {
  const items = (...names) => names.map((name) => ({ name, at: 1 }));
  const keyOf = (item) => item.name;
  const named = (list) => list.map(keyOf).join("");

  test("new entries are counted and move nothing", () => {
    const { rows, news } = merged(items("c", "b", "a"), items("e", "d", "c", "b", "a"), keyOf, true);
    assert.deepEqual([named(rows), news], ["cba", 2]);
  });

  test("rows change in place", () => {
    const { rows } = merged(
      items("b", "a"),
      [
        { name: "b", at: 2 },
        { name: "a", at: 1 },
      ],
      keyOf,
      true,
    );
    assert.deepEqual(
      rows.map(({ at }) => at),
      [2, 1],
    );
  });

  test("what is there no more goes, and what lies behind all that was read stays", () => {
    assert.equal(named(merged(items("d", "c", "b", "a"), items("d", "b"), keyOf, false).rows), "dba");
    assert.equal(named(merged(items("d", "c", "b", "a"), items("d", "b"), keyOf, true).rows), "db");
    assert.equal(named(merged(items("b", "a"), [], keyOf, true).rows), "");
  });

  test("400 rows are all there after twenty events of others", () => {
    let shown = Array.from({ length: 400 }, (_, at) => ({ name: String(400 - at), at: 1 }));
    const before = named(shown);
    for (let event = 1; event <= 20; event += 1) {
      const all = [...Array.from({ length: event }, (_, at) => ({ name: String(400 + event - at), at: 1 })), ...shown];
      const { rows, news } = merged(shown, all.slice(0, 500), keyOf, false);
      assert.equal(news, event);
      shown = rows;
    }
    assert.equal(named(shown), before);
  });

  test("entries further down than what is shown are no news", () => {
    const { rows, news } = merged(items("a", "b"), items("a", "aa", "b", "c", "d"), keyOf, true);
    assert.deepEqual([named(rows), news], ["ab", 1]);
  });
});

describe("the order of the live streams", () => {
  const stream = (name, viewers, status, minute) => ({
    name,
    viewers: { hls: viewers, mp4: 1 },
    health: { status },
    live_since: `2026-03-12T12:${minute}:00Z`,
  });
  const streams = [stream("b", 5, "good", "30"), stream("a", 5, "ok", "10"), stream("c", 9, "bad", "20")];
  const order = (by) =>
    sorted(streams, by)
      .map(({ name }) => name)
      .join("");

  test("is by name, by viewers, by health or by age, and by name among equals", () => {
    assert.equal(order("name"), "abc");
    assert.equal(order("viewers"), "cab");
    assert.equal(order("health"), "cab");
    assert.equal(order("newest"), "bca");
    assert.equal(order("nonsense"), "abc");
    assert.equal(streams[0].name, "b");
  });
});

describe("the clock of an order", () => {
  const deadline = "2026-11-30T13:00:00Z";
  const at = (text) => Date.parse(`2026-11-30T${text}Z`);

  test("one without a deadline has none", () => {
    assert.equal(clockOf({ deadline: null, in_time: true, answered_at: null }, at("12:00:00")), null);
  });

  test("what is left runs out, and is late then", () => {
    const order = { deadline, in_time: true, answered_at: null };
    assert.deepEqual(clockOf(order, at("12:01:40")), { text: "58 min 20 s left for the reply", level: "warning" });
    assert.deepEqual(clockOf(order, at("13:00:01")), { text: "The reply is 1 s late", level: "bad" });
  });

  test("an answered one is in time, unless it was carried out late", () => {
    const answered = { deadline, in_time: true, answered_at: "2026-11-30T12:30:00Z" };
    assert.equal(clockOf(answered, at("15:00:00"))?.text, "In time");
    assert.equal(clockOf({ ...answered, in_time: false }, at("15:00:00"))?.text, "Carried out late");
  });

  test("times are said in two parts at most", () => {
    assert.deepEqual([0.2, 59.4, 60, 3_599, 3_600, 90_061].map(lasting), [
      "0 s",
      "59 s",
      "1 min 0 s",
      "59 min 59 s",
      "1 h 0 min",
      "25 h 1 min",
    ]);
  });
});

test("countries are written as people write lists", () => {
  assert.deepEqual(countriesOf(" de, FR;eu\nES "), ["de", "FR", "eu", "ES"]);
  assert.deepEqual(countriesOf("  "), []);
});
