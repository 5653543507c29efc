// The operator's console: signs in, follows the server, and shows one view at a time.
//
// <body data-state>: loading | signed-out | signed-in; data-connection: connecting | live | lost.

import { messageOf } from "../asking.js";
import { byId, setText } from "../dom.js";
import { when } from "../format.js";
import { Account } from "./account.js";
import { Acts } from "./acts.js";
import { AuditView } from "./audit.js";
import { BlocksView } from "./blocks.js";
import { CasesView } from "./cases.js";
import { ServerView } from "./charts.js";
import { ApiError, Client } from "./client.js";
import { ClipsView } from "./clips.js";
import { Events } from "./events.js";
import { KeysView } from "./keys.js";
import { OperatorsView } from "./operators.js";
import { OrdersView } from "./orders.js";
import { RecordingsView } from "./recordings.js";
import { StreamsView } from "./streams.js";
import { UsersView } from "./users.js";

const body = document.body;
const client = new Client(
  () => signedOut("The session is over. Sign in again."),
  () => signedIn(),
);
const account = new Account(client, () => showView());
const acts = new Acts(client, () => streams.streams);
const streams = new StreamsView(acts, body.dataset.public);
const views = {
  live: { refresh() {}, follow() {} },
  keys: new KeysView(client, acts, () => streams.streams),
  users: new UsersView(client, acts),
  recordings: new RecordingsView(client, acts, body.dataset.public),
  cases: new CasesView(client, account, body.dataset.public),
  blocks: new BlocksView(client),
  orders: new OrdersView(client),
  clips: new ClipsView(client, acts, body.dataset.public),
  operators: new OperatorsView(client),
  audit: new AuditView(client),
  server: new ServerView(client, body.dataset.charts),
};

/** @type {Events | null} */
let events = null;
/** @type {number | null} */
let heardAt = null;

// -- which view is shown ----------------------------------------------------------------------------

// The tab of a view that has none of its own.
const PLACES = { blocks: "cases", orders: "cases", clips: "recordings", operators: "audit" };
// The right that a view needs.
const NEEDED = { keys: "read_keys", operators: "operators" };

function currentView() {
  const name = location.hash.split("/")[1];
  return Object.hasOwn(views, name) && (!(name in NEEDED) || account.may(NEEDED[name])) ? name : "live";
}

function showView() {
  if (!client.isSignedIn) return;
  const current = currentView();
  const [, , user] = location.hash.split("/");
  if (current === "cases") views.cases.open(user ?? "");
  if (["keys", "users", "recordings", "clips"].includes(current) && user) views[current].showUser(user);
  for (const name of Object.keys(views)) byId(name).hidden = name !== current;
  for (const link of byId("tabs").querySelectorAll("a")) {
    if (link.hash === `#/${PLACES[current] ?? current}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${byId(`${current}-title`).textContent} – streamd`;
  views[current].refresh();
}

window.addEventListener("hashchange", () => {
  showView();
  // A reader who listens to the page instead of seeing it is told where they are.
  if (client.isSignedIn) byId(`${currentView()}-title`).focus({ preventScroll: true });
  scrollTo(0, 0);
});

// -- the server -------------------------------------------------------------------------------------

function showConnection(state, detail = "") {
  body.dataset.connection = state;
  setText(byId("connection"), { connecting: "Connecting…", live: "Connected", lost: "Disconnected" }[state]);
  const stale = byId("stale");
  stale.hidden = state !== "lost";
  const since = heardAt ? ` What you see is from ${when(heardAt)}.` : "";
  setText(stale, state === "lost" ? `${detail || "The connection to the server is lost."}${since} Trying again…` : "");
}

function follow() {
  showConnection("connecting");
  const heard = (handle) => (data) => {
    heardAt = Date.now();
    handle(data);
  };
  let revision = null;
  events = new Events(client, {
    open() {
      showConnection("live");
      // The role may be another: the server has ended the connection before this one for it.
      account.learn().catch(() => {});
      // Much may have happened meanwhile.
      revision = null;
    },
    lost: (reason) => showConnection("lost", reason),
    streams: heard((data) => {
      const liveKeys = () => streams.streams.map((stream) => stream.key_id).join();
      const before = liveKeys();
      streams.update(data.streams);
      // The keys are told apart by whether a stream runs on them.
      if (liveKeys() !== before && currentView() === "keys") views.keys.follow();
    }),
    sample: heard((sample) => {
      streams.showSample(sample);
      views.server.add(sample);
    }),
    cases: heard(() => {
      if (currentView() === "cases") views.cases.follow();
    }),
    records: heard((number) => {
      const current = currentView();
      if (number !== revision && current !== "server" && current !== "cases") views[current].follow();
      revision = number;
    }),
  });
}

// -- signing in and out -----------------------------------------------------------------------------

async function signedIn() {
  // The acts that may be offered; where the server cannot say them now, none is, and it is asked again when it is back.
  await account.learn().catch(() => {});
  if (!client.isSignedIn) return;
  body.dataset.state = "signed-in";
  showView();
  follow();
}

function signedOut(why = "") {
  events?.close();
  events = null;
  body.dataset.state = "signed-out";
  account.forget();
  document.title = "Console – streamd";
  // Nothing of what was seen stays on the page.
  streams.update([]);
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  setText(byId("sign-in-error"), why);
  byId("token").focus();
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token", HTMLInputElement);
  const code = byId("code", HTMLInputElement);
  const button = byId("sign-in-button", HTMLButtonElement);
  button.disabled = true;
  setText(byId("sign-in-error"), "");
  try {
    await client.signIn(field.value.trim(), code.value.trim());
    field.value = code.value = "";
    byId("code-row").hidden = true;
    signedIn();
  } catch (error) {
    setText(
      byId("sign-in-error"),
      error instanceof ApiError && error.status === 401 ? "That token is not known here." : messageOf(error),
    );
    // An operator with a good token and no good code is asked for that.
    const asksCode = error instanceof ApiError && error.status === 403;
    if (asksCode) byId("code-row").hidden = false;
    (asksCode ? code : field).select();
  } finally {
    button.disabled = false;
  }
});

byId("sign-out").addEventListener("click", () => {
  client.signOut();
  signedOut();
});

if (client.isSignedIn) signedIn();
else signedOut();
