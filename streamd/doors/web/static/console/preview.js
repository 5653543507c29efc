// A muted look at a stream, as viewers see it: the endless MP4 of the public port, which needs no player but the
// browser's own. It counts as no viewer.

import { messageOf } from "../asking.js";
import { element, setText } from "../dom.js";
import { codecs } from "../format.js";

// A picture that the browser does not decode stays away while the sound plays.
const PICTURE_LATE_MS = 3_000;

export class Preview {
  #video = element("video", { muted: true, playsinline: true, autoplay: true });
  #message = element("p", { role: "status" }, "Connecting…");

  /**
   * @param stream to look at
   * @param origin of the public port, as this browser reaches it
   * @param ticket asks for the address that counts as no viewer
   */
  constructor({ name, width, codecs: tracks }, origin, ticket) {
    const hasPicture = width > 0;
    const video = this.#video;
    // The attribute alone does not mute an element that a script has made.
    video.muted = true;
    video.setAttribute("aria-label", `Preview of ${name}, muted`);
    this.root = element("div", { class: "preview" }, video, this.#message);
    video.addEventListener("playing", () => {
      this.#say("playing", hasPicture ? "" : "Sound only. Viewers hear it; this preview is muted.");
      if (!hasPicture) return;
      setTimeout(() => {
        const isBlack = video.videoWidth === 0 && this.root.dataset.state === "playing";
        if (isBlack) this.#say("playing", `This browser does not show ${codecs(tracks)}. Others may.`);
      }, PICTURE_LATE_MS);
    });
    if (!hasPicture)
      video.addEventListener("loadedmetadata", () =>
        this.#say("playing", "Sound only. Viewers hear it; this preview is muted."),
      );
    video.addEventListener("ended", () => this.#say("ended", "The stream has ended"));
    video.addEventListener("error", () => {
      // No source is an error as well, and one of ours.
      if (video.hasAttribute("src"))
        this.#say(
          "error",
          `The preview does not play. It comes from ${origin}, which this browser has to reach; with a proxy or tunnel, set [http] public_url.`,
        );
    });
    this.#say("connecting", "Connecting…");
    this.#load(ticket, origin);
  }

  async #load(ticket, origin) {
    try {
      const { mp4 } = await ticket();
      // The row may be closed meanwhile.
      if (this.root.dataset.state === "connecting") this.#video.src = origin + mp4;
    } catch (error) {
      this.#say("error", messageOf(error));
    }
  }

  /** Stop, and show nothing more of it. */
  end(text) {
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#say("ended", text);
  }

  remove() {
    this.end("");
    this.root.remove();
  }

  #say(state, text) {
    this.root.dataset.state = state;
    setText(this.#message, text);
  }
}
