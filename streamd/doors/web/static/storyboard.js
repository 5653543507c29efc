// The pictures of a storyboard: what a cue of its WebVTT says, and the picture of a time.

/**
 * @typedef {{start: number, end: number, image: string, x: number, y: number, width: number, height: number}} Picture
 *   `start` and `end` in seconds; the rest says where in which image it is, in pixels
 */

/**
 * Read one cue (Media Fragments URI 1.0 section 4.2.2: `#xywh=x,y,width,height`).
 *
 * @param {{startTime: number, endTime: number, text: string}} cue
 * @param {string} base the address of the storyboard
 * @returns {Picture | null} null for one of another kind
 */
export function readCue({ startTime, endTime, text }, base) {
  const found = /^(\S+)#xywh=(?:pixel:)?(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})$/.exec(text.trim());
  if (!found) return null;
  const [x, y, width, height] = found.slice(2).map(Number);
  return { start: startTime, end: endTime, image: new URL(found[1], base).href, x, y, width, height };
}

/**
 * The picture of a time; null where none is near.
 *
 * @param {readonly Picture[]} pictures in their order
 * @param {number} seconds
 */
export function pictureAt(pictures, seconds) {
  let [low, high] = [0, pictures.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pictures[middle].end > seconds) high = middle;
    else low = middle + 1;
  }
  const found = pictures[low];
  return found && found.start <= seconds ? found : null;
}

/**
 * "1:02:03" or "2:03" of seconds.
 *
 * @param {number} seconds
 */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
