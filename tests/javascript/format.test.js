import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Backoff } from "../../streamd/doors/web/static/backoff.js";
import {
  bitrate,
  codecs,
  encoderName,
  keyframeInterval,
  limits,
  picture,
  pictureOrSound,
  size,
  totalViewers,
  viewersByProtocol,
} from "../../streamd/doors/web/static/format.js";
import { healthName } from "../../streamd/doors/web/static/health.js";
import { LOOKS, MESSAGES, offline } from "../../streamd/doors/web/static/page_state.js";
import { elapsed, hasPicture, quality, watching } from "../../streamd/doors/web/static/viewer_format.js";

describe("what people read", () => {
  test("bit rates and sizes have three digits and a unit", () => {
    assert.equal(bitrate(5_937_000), "5.94 Mb/s");
    assert.equal(bitrate(999), "999 b/s");
    assert.equal(size(2 ** 20 * 312), "312 MB");
  });

  test("a time without a beginning is empty", () => {
    assert.equal(elapsed(""), "");
    const ago = (seconds) => elapsed(new Date(Date.now() - seconds * 1000 - 300).toISOString());
    assert.equal(ago(12), "12 s");
    assert.equal(ago(240), "4 min");
    assert.equal(ago(2 * 3600 + 5 * 60), "2 h 05 min");
  });

  test("viewers are counted over the protocols, and those without any are left out", () => {
    assert.equal(totalViewers({ hls: 1204, flv: 0, mp4: 3 }), 1207);
    assert.equal(viewersByProtocol({ hls: 1204, flv: 0, mp4: 3 }), "1,204 HLS · 3 MP4");
    assert.equal(viewersByProtocol({}), "");
    assert.equal(watching(Number.NaN), "");
  });

  test("an upright picture is named by its short side", () => {
    assert.equal(picture({ width: 720, height: 1280, frame_rate: 30 }), "720p");
    assert.equal(picture({ width: 1920, height: 1080, frame_rate: 59.94 }), "1080p60");
    assert.equal(pictureOrSound({ width: 0, height: 0, frame_rate: 0, codecs: ["mp4a.40.2"] }), "Sound only");
    assert.equal(pictureOrSound({ width: 0, height: 0, frame_rate: 0, codecs: [] }), "–");
    assert.equal(keyframeInterval(null), "–");
    assert.equal(keyframeInterval(2), "2.0 s");
  });

  test("a viewer reads the quality that plays, and before that the best there is", () => {
    const variants = [
      { resolution: "640x360", frame_rate: 30 },
      { resolution: "1280x720", frame_rate: 60 },
      { resolution: null, frame_rate: null },
    ];
    assert.equal(quality({ variants }), "720p60");
    assert.equal(quality({ variants }, { videoWidth: 0, videoHeight: 0 }), "720p60");
    assert.equal(quality({ variants }, { videoWidth: 640, videoHeight: 360 }), "360p");
    assert.equal(quality({ variants: [] }, { videoWidth: 640, videoHeight: 360 }), "360p");
    assert.equal(quality({ variants: [] }), "");
    // The same name as the console and the studio have for an upright picture.
    const upright = { variants: [{ resolution: "720x1280", frame_rate: 30 }] };
    assert.equal(quality(upright), "720p");
    assert.equal(quality(upright, { videoWidth: 720, videoHeight: 1280 }), "720p");
    assert.equal(picture({ width: 720, height: 1280, frame_rate: 30 }), "720p");
  });

  test("a stream without a picture is known by its variants, or by its codecs before there are any", () => {
    assert.equal(hasPicture({ variants: [], push_codecs: null }), true);
    assert.equal(hasPicture({ variants: [], push_codecs: "avc1.640028,mp4a.40.2" }), true);
    assert.equal(hasPicture({ variants: [], push_codecs: "mp4a.40.2" }), false);
    assert.equal(hasPicture({ variants: [{ resolution: null }], push_codecs: "mp4a.40.2" }), false);
    assert.equal(hasPicture({ variants: [{ resolution: "640x360" }], push_codecs: null }), true);
  });

  test("codecs, encoders and limits have the names that people use", () => {
    assert.equal(codecs(["avc1.640028", "mp4a.40.2"]), "H.264 + AAC");
    assert.equal(encoderName("FMLE/3.0 (compatible; Lavf62.12.102)"), "Lavf62.12.102");
    assert.equal(encoderName("obs-output module (libobs version 30.2.3)"), "OBS 30.2.3");
    assert.equal(encoderName("something else"), "something else");
    assert.equal(limits({ bitrate_kbps_max: 6000, picture_pixels_max: 2_088_960 }), "6 Mb/s, 1080p");
    assert.equal(limits({ bitrate_kbps_max: null, picture_pixels_max: null }), "");
  });
});

describe("the health of a stream", () => {
  test("is healthy only where nothing is to be said beside it", () => {
    assert.equal(healthName("good", 0), "Healthy");
    assert.equal(healthName("good", 1), "Good");
    assert.equal(healthName("ok", 1), "Fair");
    assert.equal(healthName("something new", 0), "something new");
  });
});

describe("Backoff", () => {
  test("waits grow to the limit and are scattered by a fifth", () => {
    const low = new Backoff(2000, 3500, () => 0);
    assert.deepEqual([low.next(), low.next(), low.next(), low.next()], [1600, 2400, 2800, 2800]);
    low.reset();
    assert.equal(low.next(), 1600);
  });
});

describe("the states of the page", () => {
  test("each message is of a state in the table, and what is wrong says so", () => {
    for (const { state, title } of [...Object.values(MESSAGES), offline("demo")]) {
      assert.ok(Object.hasOwn(LOOKS, state), state);
      if (state !== "playing" && state !== "ready") assert.notEqual(title, "");
    }
    assert.match(offline("demo").title, /demo/);
  });

  test("only a channel that is not live is called offline", () => {
    const badge = ({ state, badge: own }) => own ?? LOOKS[state].badge;
    assert.equal(badge(offline("demo")), "Offline");
    for (const [name, shown] of Object.entries(MESSAGES)) assert.notEqual(badge(shown), "Offline", name);
    for (const name of ["unknownFormat", "tooOld", "withoutPlayer"]) assert.equal(badge(MESSAGES[name]), "Live", name);
  });
});
