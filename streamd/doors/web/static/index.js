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
// More cards than anybody scrolls through; the rest is a number.
const CARDS_MAX = 200;

const cards = byId("cards");
const cardOf = new Map();

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

function show(streams) {
  const shown = streams.slice(0, CARDS_MAX);
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
  document.body.dataset.count = String(streams.length);
  if (streams.length === 0) {
    say("empty", "Nobody is live right now", "Channels appear here by themselves as soon as they go live.");
  } else {
    const rest = streams.length - shown.length;
    say("live", "", rest > 0 ? `and ${rest.toLocaleString("en")} more` : "");
  }
}

const wait = new Backoff(REFRESH_MS, REFRESH_MAX_MS);
let timer = 0;

async function refresh() {
  clearTimeout(timer);
  const streams = await listStreams();
  let pause = REFRESH_MS;
  if (streams) {
    wait.reset();
    show(streams);
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
