// The order of the live streams.

import { totalViewers } from "../format.js";

const WORST_FIRST = ["bad", "no_data", "ok", "good"];
/** @type {(one: LiveStream, other: LiveStream) => number} */
const byName = (one, other) => (one.name < other.name ? -1 : 1);

/** @type {Readonly<Record<string, (one: LiveStream, other: LiveStream) => number>>} */
const ORDERS = {
  name: byName,
  viewers: (one, other) => totalViewers(other.viewers) - totalViewers(one.viewers),
  health: (one, other) => WORST_FIRST.indexOf(one.health.status) - WORST_FIRST.indexOf(other.health.status),
  newest: (one, other) => Date.parse(other.live_since) - Date.parse(one.live_since),
};

/**
 * @param {readonly LiveStream[]} streams
 * @param {string} order one of the `<option>`s of the page
 */
export function sorted(streams, order) {
  const compare = ORDERS[order] ?? byName;
  return [...streams].sort((one, other) => compare(one, other) || byName(one, other));
}
