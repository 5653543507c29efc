// A field that narrows a list, which is read again when the typing has paused.

// A pause between the letters of a name is shorter.
const PAUSE_MS = 300;

/**
 * Call whenever somebody has stopped typing.
 *
 * @param {HTMLInputElement} field
 * @param {() => void} then
 */
export function onTyped(field, then) {
  let pause = 0;
  field.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(then, PAUSE_MS);
  });
}
