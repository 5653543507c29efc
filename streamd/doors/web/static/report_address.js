// Where a report is made, and what time it is about.

/**
 * The address of the page for a report.
 *
 * @param {string} page
 * @param {Date | null} at
 * @param {string} option what was chosen; empty for nothing
 * @returns {string}
 */
export function reportAddress(page, at, option) {
  const query = new URLSearchParams();
  if (at) query.set("at", at.toISOString());
  if (option) query.set("option", option);
  const text = query.toString();
  return text ? `${page}?${text}` : page;
}

/**
 * When what is shown was taken.
 *
 * @param {string | undefined} behindMs how long ago by the viewer's own clock, however wrong that is, as the page has it
 * @param {number} now
 * @returns {Date}
 */
export function shownAt(behindMs, now) {
  const behind = Number(behindMs ?? Number.NaN);
  return new Date(Number.isFinite(behind) ? now - behind : now);
}
