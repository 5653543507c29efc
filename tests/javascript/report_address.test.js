// The address of the page for a report, and the time that it is about.

import assert from "node:assert/strict";
import { test } from "node:test";

import { reportAddress, shownAt } from "../../streamd/doors/web/static/report_address.js";

const PAGE = "https://live.example.org/report/alice";
const AT = new Date(Date.UTC(2026, 6, 28, 12, 4, 5, 678));

test("the page is opened with what played and what was chosen", () => {
  assert.equal(reportAddress(PAGE, AT, "hate"), `${PAGE}?at=2026-07-28T12%3A04%3A05.678Z&option=hate`);
  assert.equal(reportAddress(PAGE, null, "hate"), `${PAGE}?option=hate`);
  assert.equal(reportAddress(PAGE, null, ""), PAGE);
});

test("what is shown was taken as long ago as the page has measured", () => {
  assert.equal(shownAt("2500", 10_000).getTime(), 7_500);
  for (const unknown of [undefined, "", "NaN", "x"]) assert.equal(shownAt(unknown, 10_000).getTime(), 10_000);
});
