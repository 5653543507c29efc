import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import {
  Aftermath,
  ERROR_WAIT_MS,
  FAILURES_CLEARED_MS,
  FAILURES_MAX,
  PUSH_LASTS_MS,
} from "../../streamd/doors/web/static/aftermath.js";
import { Backoff } from "../../streamd/doors/web/static/backoff.js";
import { MESSAGES } from "../../streamd/doors/web/static/page_state.js";

const BEGAN = "2026-03-12T12:00:00.000Z";
const AT_ONCE = { message: null, waitMs: 0 };
const noOther = () => false;
const another = () => true;

function neverAsked() {
  throw new Error("no mode is to be left out for this");
}

function ended(kind, changes = {}) {
  return { kind, reason: kind === "failed" ? "network" : "", playedMs: 20_000, ...changes };
}

describe("Aftermath", () => {
  /** @type {Aftermath} */
  let aftermath;

  beforeEach(() => {
    // Half of what is random: each wait is its step exactly.
    aftermath = new Aftermath(new Backoff(1000, 8000, () => 0.5));
  });

  test("a broadcast that has ended is known by its beginning until another one was played", () => {
    assert.deepEqual(aftermath.of(ended("ended"), BEGAN, neverAsked), { message: MESSAGES.ended, waitMs: 0 });
    assert.equal(aftermath.finished, BEGAN);
    assert.equal(aftermath.hasWatched, true);
    aftermath.of(ended("changed"), BEGAN, neverAsked);
    assert.equal(aftermath.finished, null);
  });

  test("a channel that was taken down was never watched", () => {
    assert.deepEqual(aftermath.of(ended("gone"), BEGAN, neverAsked), { message: MESSAGES.gone, waitMs: 0 });
    assert.equal(aftermath.hasWatched, false);
  });

  test("another mode is played at once", () => {
    assert.deepEqual(aftermath.of(ended("changed", { playedMs: 0 }), BEGAN, neverAsked), AT_ONCE);
    assert.equal(aftermath.hasWatched, false);
  });

  test("a connection that closes is made again; one that closes soon a second time leaves its mode out", () => {
    const soon = ended("closed", { playedMs: PUSH_LASTS_MS - 1 });
    assert.deepEqual(aftermath.of(soon, BEGAN, neverAsked), AT_ONCE);
    let left = 0;
    const avoid = () => {
      left += 1;
      return true;
    };
    assert.deepEqual(aftermath.of(soon, BEGAN, avoid), AT_ONCE);
    assert.equal(left, 1);
    assert.deepEqual(aftermath.of(ended("closed"), BEGAN, neverAsked), AT_ONCE);
  });

  test("a mode that fails gives way to another, and that is no failure", () => {
    assert.deepEqual(aftermath.of(ended("failed"), BEGAN, another), AT_ONCE);
    assert.equal(aftermath.hasFailed, false);
  });

  test("waits grow from failure to failure, and then the page says that it keeps failing", () => {
    const waits = [];
    for (let failure = 0; failure < FAILURES_MAX; failure += 1) {
      const { message, waitMs } = aftermath.of(ended("failed", { playedMs: 0 }), BEGAN, noOther);
      assert.equal(message, MESSAGES.connectionLost);
      assert.equal(aftermath.hasFailed, true);
      waits.push(waitMs);
    }
    assert.deepEqual(waits, [1000, 1500, 2250, 3375, 5062.5, 7593.75]);
    const last = aftermath.of(ended("failed", { playedMs: 0 }), BEGAN, noOther);
    assert.deepEqual(last, { message: MESSAGES.keepsFailing, waitMs: ERROR_WAIT_MS });
    // After the long wait it goes on as before, but still as one that has failed.
    assert.equal(aftermath.hasFailed, true);
    assert.equal(aftermath.of(ended("failed", { playedMs: 0 }), BEGAN, noOther).waitMs, 1000);
  });

  test("a minute of play clears the failures", () => {
    for (let failure = 0; failure < 20; failure += 1) {
      const outcome = ended("failed", { playedMs: FAILURES_CLEARED_MS + 1 });
      assert.equal(aftermath.of(outcome, BEGAN, noOther).message, MESSAGES.connectionLost);
    }
  });

  test("a player that ends while the broadcaster is away has not failed, and the viewer's line is not blamed", () => {
    for (let times = 0; times < 2 * FAILURES_MAX; times += 1) {
      const next = aftermath.of(ended("failed", { isAwaited: true }), BEGAN, neverAsked);
      assert.equal(next.message, MESSAGES.awaitingBroadcaster);
      assert.ok(next.waitMs > 0);
      assert.equal(aftermath.hasFailed, false);
      assert.equal(aftermath.isAwaited, true);
    }
    aftermath.of(ended("ended", { isAwaited: true }), BEGAN, neverAsked);
    assert.equal(aftermath.finished, BEGAN);
    assert.equal(aftermath.of(ended("failed"), BEGAN, noOther).message, MESSAGES.connectionLost);
    assert.equal(aftermath.isAwaited, false);
  });

  test("a format that the browser does not know is not tried again every second", () => {
    const next = aftermath.of(ended("failed", { reason: "format", playedMs: 0 }), BEGAN, noOther);
    assert.deepEqual(next, { message: MESSAGES.unknownFormat, waitMs: ERROR_WAIT_MS });
  });
});
