// Rules that more than one engine goes by.

// More of what was played than this is only memory: nobody can go back further than the window.
export const BACK_BUFFER_S = 30;
// Too slow to be heard, fast enough to be back at the target latency within seconds of a stall.
export const CATCH_UP_RATE_MAX = 1.1;

/** Where the last of some ranges of time ends, or NaN. */
export function endOf(ranges) {
  return ranges.length > 0 ? ranges.end(ranges.length - 1) : NaN;
}
