// How a recording stands, in the words of the viewer's page, the studio and the console.

/**
 * The name of a state, the level of its colour, and what it means.
 *
 * @type {Readonly<Record<RecordedState, {name: string, level: string, meaning: string}>>}
 */
export const RECORDING_STATES = {
  recording: { name: "Recording", level: "live", meaning: "It goes on, and can be watched from its beginning." },
  finalizing: { name: "Finishing", level: "warning", meaning: "The broadcast is over; its files are being completed." },
  uploading: { name: "Uploading", level: "warning", meaning: "It is complete, and on its way to the storage." },
  ready: { name: "Ready", level: "good", meaning: "" },
  partial: { name: "Partial", level: "warning", meaning: "A crash has cost some of it; the rest can be watched." },
  failed: { name: "Failed", level: "error", meaning: "It ended early; what was recorded before can be watched." },
  deleted: { name: "Deleted", level: "over", meaning: "Its files are gone." },
};

/** The reasons of the server's own rules when they delete. */
const RULES = {
  keep_days: "It was older than this server keeps recordings.",
  max_bytes: "Recordings had more space than they may take; the oldest go first.",
  min_free_bytes: "The disk was short of space; the oldest go first.",
};

/** @type {Readonly<Record<Visibility, string>>} */
export const VISIBILITIES = {
  public: "Public: on the channel’s page, for everybody",
  unlisted: "Unlisted: for everybody who has its link",
  private: "Private: nobody can watch it",
};

/** @type {Readonly<Record<Visibility, string>>} */
export const VISIBILITY_NAMES = { public: "Public", unlisted: "Unlisted", private: "Private" };

/** A recording is written, and not to be deleted before it is complete. */
export const isOpen = ({ state }) => state === "recording" || state === "finalizing";

/**
 * The words on a recording beside its state; empty for none.
 *
 * @param {{state: RecordedState, reason?: string, duration_s: number}} recording
 */
export function meaningOf({ state, reason = "", duration_s: seconds }) {
  if (state === "failed") {
    const left = seconds > 0 ? " What was recorded before can be watched." : " Nothing of it is left.";
    return reason ? `${sentence(reason)}${left}` : RECORDING_STATES.failed.meaning;
  }
  if (state === "deleted" && reason) return RULES[reason] ?? sentence(reason);
  return RECORDING_STATES[state]?.meaning ?? "";
}

/** @param {string} text */
function sentence(text) {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** A recording's title, or its date where nobody has given it one. */
export function titleOf({ title, started_at: startedAt }) {
  return title || `Broadcast of ${began(startedAt)}`;
}

/** "12 March 2026 at 12:03". */
export function began(iso) {
  return new Date(iso).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
}

/** "1:02:03", "4:05" of seconds. */
export function runningTime(seconds) {
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
