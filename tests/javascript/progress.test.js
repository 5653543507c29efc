import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  BEHIND_MS,
  BehindWatch,
  PLAYLIST_QUIET_MS,
  PUSH_QUIET_MS,
  PUSH_STALLS_MAX,
  PUSH_STALLS_WINDOW_MS,
  QUIET_ASK_MS,
  STALL_ASK_MAX_MS,
  STALL_ASK_MS,
  STALL_END_MS,
  STALL_REBUILD_MS,
  StallCount,
  StallWatch,
} from "../../streamd/doors/web/static/progress.js";

const HLS = { isPush: false, hasEnd: false, quietMs: 0 };
const PUSH = { isPush: true, hasEnd: false, quietMs: 0 };

/** A look at playback that stands still at 7 s from time 0 on, with what a test says otherwise. */
function stalled(now, changes = {}) {
  return {
    now,
    position: 7,
    hasPlayed: true,
    isPaused: false,
    needsGesture: false,
    liveAt: Number.NEGATIVE_INFINITY,
    engine: HLS,
    ...changes,
  };
}

describe("StallWatch", () => {
  test("playback that moves asks for nothing, however long it plays", () => {
    const watch = new StallWatch(0, 0);
    for (let now = 500; now < 60_000; now += 500) {
      assert.deepEqual(watch.look(stalled(now, { position: now / 1000 })), []);
      assert.equal(watch.stalledMs(now), 0);
    }
  });

  test("the server is asked after the first wait, and not again before another", () => {
    const watch = new StallWatch(0, 7);
    assert.deepEqual(watch.look(stalled(STALL_ASK_MS)), []);
    assert.deepEqual(watch.look(stalled(STALL_ASK_MS + 1)), ["ask"]);
    assert.deepEqual(watch.look(stalled(STALL_ASK_MS + 500)), []);
    assert.deepEqual(watch.look(stalled(2 * STALL_ASK_MS + 2)), ["ask"]);
    assert.deepEqual(watch.look(stalled(4 * STALL_ASK_MS + 2)), []);
  });

  test("the longer playback stands still, the less often the server is asked", () => {
    const watch = new StallWatch(0, 7);
    let asked = 0;
    // Paused by the browser, which waits for a gesture: nothing is rebuilt.
    for (let now = 0; now <= 60_000; now += 100) asked += watch.look(stalled(now, { needsGesture: true })).length;
    assert.ok(asked <= 3 + 60_000 / STALL_ASK_MAX_MS, String(asked));
  });

  test("a broadcaster who is frozen is asked about while the last of the media still plays", () => {
    const engine = { ...HLS, isLowLatency: true };
    const watch = new StallWatch(0, 0);
    const look = (now, quietMs) => watch.look(stalled(now, { position: now / 1000, engine: { ...engine, quietMs } }));
    assert.deepEqual(look(500, 500), []);
    assert.deepEqual(look(1_000, QUIET_ASK_MS), []);
    assert.deepEqual(look(1_500, QUIET_ASK_MS + 1), ["ask"]);
    assert.deepEqual(look(2_000, QUIET_ASK_MS + 500), []);
    assert.deepEqual(look(2_600, QUIET_ASK_MS + 1_100), ["ask"]);
    // Media that comes by the segment is quiet between two of them, and what has its end stays so.
    const other = new StallWatch(0, 0);
    const plain = { ...HLS, quietMs: 4_000 };
    assert.deepEqual(other.look(stalled(500, { position: 1, engine: plain })), []);
    assert.deepEqual(
      other.look(stalled(900, { position: 2, engine: { ...plain, isLowLatency: true, hasEnd: true } })),
      [],
    );
  });

  test("the player is built anew where media comes and is not played", () => {
    assert.deepEqual(new StallWatch(0, 7).look(stalled(STALL_REBUILD_MS + 1)), ["ask", "rebuild"]);
  });

  test("a playlist that stands still too means waiting for the broadcaster", () => {
    const engine = { ...HLS, quietMs: PLAYLIST_QUIET_MS + 1 };
    assert.deepEqual(new StallWatch(0, 7).look(stalled(STALL_REBUILD_MS + 1, { engine })), ["ask", "wait"]);
  });

  test("before the first frame nothing is worth waiting for", () => {
    const reading = stalled(STALL_REBUILD_MS + 1, { hasPlayed: false, engine: { ...HLS, quietMs: 60_000 } });
    assert.deepEqual(new StallWatch(0, 7).look(reading), ["ask", "rebuild"]);
  });

  test("a quiet connection is waited on only while the server calls the channel live", () => {
    const engine = { ...PUSH, quietMs: PLAYLIST_QUIET_MS + 1 };
    const at = STALL_REBUILD_MS + 1;
    assert.deepEqual(new StallWatch(0, 7).look(stalled(at, { engine })), ["ask", "rebuild"]);
    assert.deepEqual(new StallWatch(0, 7).look(stalled(at, { engine, liveAt: 5_000 })), ["ask", "wait"]);
    const late = stalled(PUSH_QUIET_MS + 1, { engine, liveAt: 5_000 });
    assert.deepEqual(new StallWatch(0, 7).look(late), ["ask", "rebuild"]);
  });

  test("what has its end and stands still is finished", () => {
    const engine = { ...HLS, hasEnd: true };
    assert.deepEqual(new StallWatch(0, 7).look(stalled(STALL_END_MS + 1, { engine })), ["finish"]);
  });

  test("a viewer who pauses does not stall; one who never began does", () => {
    const watch = new StallWatch(0, 7);
    assert.deepEqual(watch.look(stalled(60_000, { isPaused: true })), []);
    const never = stalled(60_000, { isPaused: true, hasPlayed: false });
    assert.deepEqual(new StallWatch(0, 7).look(never), ["ask", "rebuild"]);
  });

  test("a browser that wants a gesture is given the time for it", () => {
    const reading = stalled(60_000, { isPaused: true, hasPlayed: false, needsGesture: true });
    assert.deepEqual(new StallWatch(0, 7).look(reading), ["ask"]);
  });
});

describe("BehindWatch", () => {
  test("a viewer who stays behind is taken to the edge once, and has time to arrive", () => {
    const watch = new BehindWatch(0);
    assert.equal(watch.look(BEHIND_MS, false, 0), false);
    assert.equal(watch.look(BEHIND_MS + 1, false, 0), true);
    assert.equal(watch.look(BEHIND_MS + 500, false, 0), false);
  });

  test("being back for a moment begins the time anew", () => {
    const watch = new BehindWatch(0);
    assert.equal(watch.look(BEHIND_MS, true, 0), false);
    assert.equal(watch.look(BEHIND_MS + 500, false, 0), false);
    assert.equal(watch.look(2 * BEHIND_MS + 1, false, 0), true);
  });

  test("where nothing arrives there is no edge to jump to", () => {
    const watch = new BehindWatch(0);
    assert.equal(watch.look(60_000, false, PLAYLIST_QUIET_MS), false);
    assert.equal(watch.look(60_500, false, 0), true);
  });
});

describe("StallCount", () => {
  test("so many stalls within the time are too many", () => {
    const count = new StallCount();
    for (let stall = 1; stall < PUSH_STALLS_MAX; stall += 1) assert.equal(count.add(stall * 1000), false);
    assert.equal(count.add(PUSH_STALLS_MAX * 1000), true);
  });

  test("stalls that lie further apart are forgotten", () => {
    const count = new StallCount();
    for (let stall = 0; stall < 20; stall += 1) assert.equal(count.add(stall * PUSH_STALLS_WINDOW_MS), false);
  });
});
