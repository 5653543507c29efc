// A list that was read again, while somebody stands in the middle of it.

/**
 * The rows to show: those that are shown, as they are now, without those that are there no more; and how many are new.
 *
 * @template Item
 * @param {readonly Item[]} shown
 * @param {readonly Item[]} read from the first on
 * @param {(item: Item) => string | number} keyOf
 * @param {boolean} isWhole nothing follows what was read
 * @returns {{rows: Item[], news: number}}
 */
export function merged(shown, read, keyOf, isWhole) {
  const now = new Map(read.map((item) => [keyOf(item), item]));
  const known = new Set(shown.map(keyOf));
  // Of what lies behind all that was read, nothing is known.
  const last = isWhole ? shown.length : shown.findLastIndex((item) => now.has(keyOf(item)));
  const rows = shown.flatMap((item, at) => {
    const fresh = now.get(keyOf(item));
    if (fresh !== undefined) return [fresh];
    return at > last ? [item] : [];
  });
  const end = read.findLastIndex((item) => known.has(keyOf(item)));
  const before = read.slice(0, end < 0 ? read.length : end);
  return { rows, news: before.filter((item) => !known.has(keyOf(item))).length };
}
