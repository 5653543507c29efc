// The page of the channels that are live: cards that follow /api/v1/streams.

import { listStreams } from "./api.js";
import { Backoff } from "./backoff.js";
import { on } from "./base.js";
import { byId, element, setText } from "./dom.js";
import { elapsed, quality, watching } from "./viewer_format.js";

const REFRESH_MS = 10_000;
const REFRESH_MAX_MS = 60_000;
// The same for all who look at a time, so that a cache in front can answer them.
const POSTER_MS = 30_000;
// As many cards as somebody scrolls through at once; a button shows as many more.
const CARDS_PAGE = 60;
// From so many channels on, a search field is more help than in the way.
const SEARCH_FROM = 12;

const cards = byId("cards");
const search = byId("search", HTMLInputElement);
const order = byId("order", HTMLSelectElement);
const more = byId("more");
const cardOf = new Map();
/** @type {LiveChannel[]} */
let live = [];
let shownMax = CARDS_PAGE;

/** @type {Readonly<Record<string, (one: LiveChannel, other: LiveChannel) => number>>} */
const ORDERS = {
  newest: (one, other) => Date.parse(other.live_since) - Date.parse(one.live_since),
  watched: (one, other) => other.viewers - one.viewers,
  name: () => 0,
};

/** The channels that are looked for, in the order that the viewer wants. */
function wanted() {
  const text = search.value.trim().toLowerCase();
  const compare = ORDERS[order.value] ?? ORDERS.newest;
  return live
    .filter(({ name }) => name.includes(text))
    .sort((one, other) => compare(one, other) || (one.name < other.name ? -1 : 1));
}

/** @param {LiveChannel} stream */
function newCard(stream) {
  const name = element("span", { class: "card-name" }, stream.name);
  const facts = element("span", { class: "card-facts" });
  const badge = element("span", { class: "badge" }, "Live");
  const best = element("span", { class: "card-quality" });
  const initial = element("span", { class: "card-initial" }, stream.name.slice(0, 1).toUpperCase());
  initial.setAttribute("aria-hidden", "true");
  const poster = element("img", { class: "card-poster" });
  poster.alt = "";
  poster.loading = "lazy";
  poster.decoding = "async";
  // Where there is none, the initial is to be seen.
  poster.addEventListener("load", () => poster.toggleAttribute("data-loaded", true));
  poster.addEventListener("error", () => poster.toggleAttribute("data-loaded", false));
  const picture = element("span", { class: "card-picture" }, initial, poster, badge, best);
  const link = element("a", { class: "card" }, picture, name, facts);
  link.href = on(`watch/${encodeURIComponent(stream.name)}`);
  // One of eight tints, always the same for one channel.
  link.dataset.tint = String([...stream.name].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0) % 8);
  return { item: element("li", {}, link), facts, best, poster };
}

function showPoster(image, path) {
  const src = path ? `${path}?${Math.floor(Date.now() / POSTER_MS)}` : "";
  // The picture before stays until the new one is there.
  if (src && image.getAttribute("src") !== src) image.src = src;
}

function say(state, title = "", detail = "") {
  document.body.dataset.state = state;
  setText(byId("message-title"), title);
  setText(byId("message-detail"), detail);
}

function show() {
  const found = wanted();
  const shown = found.slice(0, shownMax);
  const names = new Set(shown.map((stream) => stream.name));
  for (const [name, card] of cardOf) {
    if (names.has(name)) continue;
    card.item.remove();
    cardOf.delete(name);
  }
  shown.forEach((stream, position) => {
    const card = cardOf.get(stream.name) ?? newCard(stream);
    cardOf.set(stream.name, card);
    const since = elapsed(stream.live_since);
    card.facts.textContent = [watching(stream.viewers), since && `live for ${since}`].filter(Boolean).join(" · ");
    card.best.textContent = quality(stream);
    showPoster(card.poster, stream.poster);
    // Moving a card that stands right would take the focus from it.
    if (cards.children[position] !== card.item) cards.insertBefore(card.item, cards.children[position] ?? null);
  });
  document.body.dataset.count = String(live.length);
  byId("toolbar").hidden = live.length < SEARCH_FROM && !search.value;
  const rest = found.length - shown.length;
  more.hidden = rest === 0;
  setText(more, `Show more (${rest.toLocaleString("en")})`);
  if (live.length === 0) {
    say("empty", "Nobody is live right now", "Channels appear here by themselves as soon as they go live.");
  } else if (found.length === 0) {
    const others = live.length === 1 ? "One other channel is live." : `${live.length.toLocaleString("en")} others are.`;
    say("empty", "No channel that is live is called so", others);
  } else {
    say("live", "", "");
  }
}

/** The search is another one: from its first card on. */
function showAnew() {
  shownMax = CARDS_PAGE;
  show();
}

search.addEventListener("input", showAnew);
order.addEventListener("change", showAnew);
more.addEventListener("click", () => {
  const first = cards.children.length;
  shownMax += CARDS_PAGE;
  show();
  // A viewer who goes through them by the keyboard goes on with the first of those that came.
  cards.children[first]?.querySelector("a")?.focus({ preventScroll: true });
});

const wait = new Backoff(REFRESH_MS, REFRESH_MAX_MS);
let timer = 0;

async function refresh() {
  clearTimeout(timer);
  const streams = await listStreams();
  let pause = REFRESH_MS;
  if (streams) {
    wait.reset();
    live = streams;
    show();
  } else {
    pause = wait.next();
    if (cardOf.size === 0) say("error", "The server does not answer", "Trying again…");
  }
  // A page that nobody sees asks nothing; it catches up when it is looked at again.
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();
