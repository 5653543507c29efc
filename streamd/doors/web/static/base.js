// Where the server is: at the root of its site, or under a path at which a proxy has put it. This module lies two
// folders deep, and so knows; a page asks for everything from here on.

/** The server's address, with a slash at its end. */
export const SERVER = new URL("../../", import.meta.url).href;

/**
 * The address of something on the server.
 *
 * @param {string} path without a slash at its beginning
 */
export function on(path) {
  return SERVER + path;
}

/** The viewer's ticket to a locked channel or recording; empty where everybody may watch. */
const TICKET = document.body?.dataset.ticket ?? "";

/**
 * Header fields that show the ticket to the API.
 *
 * @type {Record<string, string>}
 */
export const TICKET_FIELDS = TICKET ? { "streamd-ticket": TICKET } : {};

/**
 * The address of a channel's or recording's media, with the viewer's ticket where that is needed.
 *
 * @param {"live" | "vod"} kind
 * @param {string} name of the channel, or the recording's id
 * @param {string} file below it; ".mp4" and the like stand behind its name
 */
export function mediaOn(kind, name, file) {
  const named = encodeURIComponent(name);
  if (!TICKET) return on(`${kind}/${named}${file.startsWith(".") ? "" : "/"}${file}`);
  return on(file.startsWith(".") ? `${kind}/~${TICKET}/${named}${file}` : `${kind}/${named}/~${TICKET}/${file}`);
}
