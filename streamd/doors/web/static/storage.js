// Settings that the browser keeps for a page. It may refuse to: then a choice lasts as long as the page.

/**
 * @param {"localStorage" | "sessionStorage"} kind
 * @param {string} name
 * @returns {string | null} null where nothing is kept, or nothing may be
 */
export function recall(kind, name) {
  try {
    return window[kind].getItem(name);
  } catch {
    return null;
  }
}

/**
 * @param {"localStorage" | "sessionStorage"} kind
 * @param {string} name
 * @param {string | null} value null to keep nothing any more
 */
export function keep(kind, name, value) {
  try {
    if (value === null) window[kind].removeItem(name);
    else window[kind].setItem(name, value);
  } catch {
    // A private window, or no storage allowed.
  }
}
