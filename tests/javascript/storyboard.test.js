import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clockTime, pictureAt, readCue } from "../../streamd/doors/web/static/storyboard.js";

const BASE = "https://live.example/vod/rec_1/storyboard.vtt";
const cue = (text, startTime = 0, endTime = 10) => ({ startTime, endTime, text });

describe("a storyboard", () => {
  test("says where each picture is", () => {
    assert.deepEqual(readCue(cue("storyboard-0.jpg#xywh=160,90,160,90", 10, 20), BASE), {
      start: 10,
      end: 20,
      image: "https://live.example/vod/rec_1/storyboard-0.jpg",
      x: 160,
      y: 90,
      width: 160,
      height: 90,
    });
    assert.equal(readCue(cue("a.jpg#xywh=pixel:1,2,3,4\n"), BASE)?.height, 4);
  });

  test("is let be where it says something else", () => {
    for (const text of ["", "a.jpg", "a.jpg#xywh=1,2,3", "a.jpg#xywh=percent:1,2,3,4", "<b>a</b> b#xywh=1,2,3,4"])
      assert.equal(readCue(cue(text), BASE), null, text);
  });

  test("has one picture for a time", () => {
    const pictures = [0, 1, 3].map((number) => readCue(cue("a#xywh=0,0,1,1", number * 10, number * 10 + 10), BASE));
    assert.equal(pictureAt(pictures, 0), pictures[0]);
    assert.equal(pictureAt(pictures, 9.9), pictures[0]);
    assert.equal(pictureAt(pictures, 10), pictures[1]);
    assert.equal(pictureAt(pictures, 25), null);
    assert.equal(pictureAt(pictures, 39), pictures[2]);
    assert.equal(pictureAt(pictures, 40), null);
    assert.equal(pictureAt([], 1), null);
  });

  test("has times as people read them", () => {
    assert.deepEqual([0, 59.9, 60, 3723, -1].map(clockTime), ["0:00", "0:59", "1:00", "1:02:03", "0:00"]);
  });
});
