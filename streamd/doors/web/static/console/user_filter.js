// The field that narrows a list to one user, by their whole name.

import { byId } from "../dom.js";
import { onTyped } from "../searching.js";

const USER_NAME = /^[a-z0-9][a-z0-9_-]{1,63}$/;

export class UserFilter {
  #field;

  /**
   * @param {string} id of the field
   * @param {() => void} refresh reads the list again
   */
  constructor(id, refresh) {
    this.#field = byId(id, HTMLInputElement);
    onTyped(this.#field, refresh);
  }

  /** Empty for all users. */
  get name() {
    return this.#field.value.trim();
  }

  set name(name) {
    this.#field.value = name;
  }

  /** No user is called so: the server need not be asked. */
  get isImpossible() {
    return this.name !== "" && !USER_NAME.test(this.name);
  }
}
