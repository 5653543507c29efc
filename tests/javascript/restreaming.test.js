import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  actsOf,
  factsOf,
  nameOf,
  SERVICES,
  TARGET_STATES,
  troubleOf,
} from "../../streamd/doors/web/static/restreaming.js";

/** A target that is live, with what a test says otherwise. */
function target(changes = {}) {
  return {
    id: "tgt_1",
    url: "rtmps://a.rtmps.youtube.com/live2",
    key_hint: "…x9f2",
    label: "",
    enabled: true,
    state: "live",
    since: new Date(Date.now() - 61_000).toISOString(),
    kbps: 2512,
    dropped: 0,
    attempts: 1,
    last_error: "",
    ...changes,
  };
}

describe("a target in words", () => {
  test("it is called by its label, or by its server", () => {
    assert.equal(nameOf(target({ label: "Mine" })), "Mine");
    assert.equal(nameOf(target()), "a.rtmps.youtube.com");
    assert.equal(nameOf(target({ url: "rtmp://[2001:db8::1]:1936/a/b" })), "[2001:db8::1]:1936");
  });

  test("a live one has its bit rate, and what it has lost", () => {
    const facts = factsOf(target({ dropped: 1, attempts: 2 }));
    assert.deepEqual(facts.slice(1), ["key …x9f2", "for 1 min", "2.51 Mb/s", "1 frame dropped", "2 attempts"]);
  });

  test("one that is not live has none", () => {
    for (const state of Object.keys(TARGET_STATES).filter((name) => name !== "live"))
      assert.ok(!factsOf(target({ state })).some((fact) => fact.endsWith("b/s")), state);
  });

  test("off is off for good, or for this broadcast", () => {
    assert.equal(factsOf(target({ state: "off" })).at(-1), "off for this broadcast");
    assert.equal(factsOf(target({ state: "off", enabled: false, since: null })).at(-1), "switched off");
  });

  test("trouble is told in the target's own words", () => {
    assert.match(
      troubleOf(target({ state: "refused", last_error: "BadName: no" })),
      /^BadName: no\. It is asked again/,
    );
    assert.match(troubleOf(target({ state: "failed" })), /no more in this broadcast/);
    assert.equal(troubleOf(target()), "");
    assert.equal(troubleOf(target({ state: "off", last_error: "an old one" })), "");
  });

  test("the state of a server that is newer than the page is no fault", () => {
    assert.equal(troubleOf(target({ state: "resting" })), "");
  });
});

describe("what can be done with it", () => {
  test("without a broadcast there is nothing to start or stop", () => {
    for (const state of Object.keys(TARGET_STATES))
      assert.deepEqual(actsOf(target({ state }), false), { mayStart: false, mayStop: false, switchTo: false });
  });

  test("one at rest is started, all others are stopped", () => {
    assert.ok(actsOf(target({ state: "off" }), true).mayStart);
    assert.ok(!actsOf(target({ state: "off" }), true).mayStop);
    assert.ok(actsOf(target({ state: "refused" }), true).mayStop);
    assert.ok(!actsOf(target(), true).mayStart);
    assert.ok(actsOf(target({ enabled: false, state: "off" }), true).switchTo);
  });
});

test("the services are reached over TLS", () => {
  for (const address of Object.values(SERVICES)) assert.match(address, /^rtmps:\/\/[a-z.-]+\/[a-z0-9]+$/);
});
