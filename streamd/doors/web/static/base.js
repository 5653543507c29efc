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
