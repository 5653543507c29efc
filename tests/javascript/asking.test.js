import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { textField } from "../../streamd/doors/web/static/asking.js";

/** As much of an element as a field needs. */
class StandInElement {
  children = [];
  value = "";
  setAttribute(name, value) {
    this[name] = value;
  }
  append(child) {
    this.children.push(child);
  }
}

beforeEach(() => {
  globalThis.document = { createElement: () => new StandInElement() };
});

afterEach(() => {
  delete globalThis.document;
});

/** What a field has for what somebody types. */
function typed(field, text) {
  field.row.children.find((child) => child instanceof StandInElement && "type" in child).value = text;
  return field.value();
}

test("a name is without the spaces around it, and a password is what was typed", () => {
  assert.equal(typed(textField("Name"), " alice "), "alice");
  for (const password of [" open sesame ", "\topen", "    "]) {
    assert.equal(typed(textField("Password", { type: "password" }), password), password);
  }
});
