// The names of the acts in the audit log, and the acts that a search for such names means.

/** @type {Readonly<Record<string, string>>} */
export const ACTIONS = {
  "key.issued": "Key issued",
  "key.imported": "Key imported",
  "key.rotated": "Key rotated",
  "key.revoked": "Key revoked",
  "key.deleted": "Key deleted",
  "user.created": "User created",
  "user.suspended": "User suspended",
  "user.restored": "User restored",
  "user.deleted": "User deleted",
  "user.limited": "User limited",
  "user.listed": "Channel listed",
  "user.unlisted": "Channel unlisted",
  "user.recorded": "Recording decided",
  "clip.changed": "Clip changed",
  "clip.created": "Clip made",
  "clip.deleted": "Clip deleted",
  "playback.policy": "Viewers decided",
  "playback.key": "Playback key changed",
  "playback.revoked": "Viewers withdrawn",
  "recording.wanted": "Recording begun",
  "recording.unwanted": "Recording ended",
  "recording.changed": "Recording changed",
  "recording.deleted": "Recording deleted",
  "operator.added": "Operator added",
  "operator.changed": "Operator changed",
  "operator.rotated": "Operator’s token rotated",
  "operator.revoked": "Operator revoked",
  "operator.deleted": "Operator deleted",
  "operator.secured": "Authenticator set up",
  "operator.unsecured": "Authenticator removed",
  "session.begun": "Signed in",
  "report.received": "Reported",
  "report.unmatched": "Reported, and not there",
  "case.opened": "Case opened",
  "case.claimed": "Case taken",
  "case.noted": "Case noted",
  "case.decided": "Case decided",
  "case.reopened": "Case reopened",
  "appeal.received": "Complained",
  "appeal.decided": "Complaint decided",
  "takedown.made": "Taken down",
  "takedown.restored": "Restored",
  "target.added": "Target added",
  "target.changed": "Target changed",
  "target.deleted": "Target deleted",
  "block.added": "Blocked",
  "block.removed": "Block lifted",
  "block.imported": "Blocks imported",
  "order.received": "Order carried out",
  "order.answered": "Order answered",
  "evidence.kept": "Evidence kept",
  "evidence.read": "Evidence read",
  "evidence.deleted": "Evidence deleted",
  "machine.found": "Machine has seen",
  "machine.agreed": "Machine was right",
  "machine.disagreed": "Machine was wrong",
  "stream.closed": "Stream closed",
  "stream.kicked": "Stream kicked",
  "publish.denied": "Publish refused",
  "studio.denied": "Studio refused",
  "admin.denied": "Admin token refused",
};

/**
 * The actions whose name has this text in it.
 *
 * @param {string} text
 */
export function actionsCalled(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  return Object.keys(ACTIONS).filter((action) => ACTIONS[action].toLowerCase().includes(wanted));
}

/**
 * The question to the server: a search by the words that the table shows, and days of the operator's own calendar.
 *
 * @param {{text: string, action: string, from: string, to: string}} fields dates as "2026-03-12", empty for none
 */
export function auditQuery({ text, action, from, to }) {
  /** @type {(day: string, days: number) => string} */
  const midnight = (day, days) => {
    const [year, month, date] = day.split("-").map(Number);
    return new Date(year, month - 1, date + days).toISOString();
  };
  return {
    search: text.trim(),
    or_actions: actionsCalled(text).join(","),
    action,
    since: from && midnight(from, 0),
    until: to && midnight(to, 1),
  };
}

/**
 * Rows as CSV (RFC 4180), for a table of the operator's own.
 *
 * @param {readonly AuditRow[]} rows
 */
export function csv(rows) {
  const columns = /** @type {const} */ ([
    "at",
    "action",
    "user",
    "key_id",
    "stream",
    "subject",
    "actor",
    "address",
    "reason",
    "count",
  ]);
  /** @type {(value: unknown) => string} */
  const field = (value) => {
    const text = String(value ?? "");
    // A spreadsheet takes what begins so for a formula, and what is in it is what strangers have sent.
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = rows.map((row) => columns.map((column) => field(row[column])).join(","));
  return [columns.join(","), ...lines, ""].join("\r\n");
}
