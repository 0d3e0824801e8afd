// One piece of work: where it stands, every move of it, and putting it right. Opened from any view.

import { get, path, post } from "./api.js";
import { area, badge, button, code, customerLink, dialog, facts, field, flowName, follow, form, h, input, notice, part, put, readJson, say, strong, unfold, when, words, wrong } from "./dom.js";

const FINISHED = ["synced", "unchanged", "filtered", "discarded", "data_error", "remote_failure", "integration_failure"];
const REPEATABLE = ["data_error", "remote_failure", "integration_failure", "retrying", "unknown"];
const KNOWN = ["at", "status", "code", "correlationId", "detail", "reason", "calls"];

export const entryLink = (ledgerId, context, after, label = ledgerId) =>
  button(label, () => openEntry(ledgerId, context, after), { kind: "link mono", name: label === ledgerId ? `Open entry ${ledgerId}` : undefined });

export function openEntry(ledgerId, context, after) {
  let changed = false;
  const content = part(async () => {
    const entry = await get(path`/ledger/${ledgerId}`);
    return inFull(entry, context, async (watch) => {
      changed = true;
      await content.reload(true);
      if (watch) await follow(content, async () => {
        const now = await get(path`/ledger/${ledgerId}`);
        put(content, inFull(now, context, again));
        return now;
      }, (now) => FINISHED.includes(now.status), { seconds: 40 });
    });
  }, { lines: 6, absent: "There is no such entry, or it is not yours." });
  const again = async () => content.reload(true);
  dialog("Ledger entry", content, { wide: true, onclose: () => changed && after?.() });
}

function inFull(entry, { may }, changed) {
  const place = h("div");
  const repeatable = may("ledger:write") && REPEATABLE.includes(entry.status);
  return [
    h("p.lead", badge(entry.status), " ", strong(flowName(entry.flow)), " ", code(entry.code)),
    entry.detail && notice("bad", h("p", entry.detail)),
    entry.action && h("p", strong("What to do: "), entry.action),
    repeatable && h("div.actions",
      button("Resubmit", async () => {
        await post(path`/ledger/${entry.ledgerId}/resubmit`);
        say("Put back to work");
        await changed(true);
      }, { kind: "primary" }),
      entry.data !== null && button("Correct and resubmit…", () => put(place, correction(entry, changed))),
      button("Discard…", () => put(place, discarding(entry, changed)), { kind: "danger quiet" })),
    place,
    facts([
      ["Entry", code(entry.ledgerId)],
      ["Customer", customerLink(entry.customerId)],
      ["Partner", code(entry.partnerId)],
      ["Attempts", String(entry.attempts)],
      ["Came in", when(entry.createdAt, false)],
      ["Due again", entry.dueAt && when(entry.dueAt)],
      ["Correlation id", code(entry.correlationId)],
    ]),
    held("What was sent in", entry.originalData || entry.data),
    entry.originalData && held("As it was corrected", entry.data),
    held("What came of it", entry.result),
    h("h3", "History"),
    h("ol.history", (entry.history || []).map((move) => h("li",
      h("div.line", badge(move.status), code(move.code), when(move.at, false)),
      (move.detail || move.reason) && h("p", move.detail || move.reason),
      move.calls && h("p.calls", move.calls.map(code)),
      rest(move)))),
  ];
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const held = (title, data) => Object.keys(data || {}).length > 0 &&
  unfold(title, data);

function rest(move) {
  const more = Object.entries(move).filter(([name, value]) => !KNOWN.includes(name) && value !== null && value !== "");
  return more.length > 0 && h("p.faint", more.map(([name, value]) => `${words(name)}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · "));
}

function correction(entry, changed) {
  const before = entry.data || {};
  const text = JSON.stringify(before, null, 2);
  const data = area({ rows: Math.min(14, text.split("\n").length + 1), value: text });
  return form([
    field("The data, as JSON", data, "/data", "Change what is wrong. Only what differs is sent; the original is kept."),
  ], "Correct and resubmit", async () => {
    const given = readJson(data.value, "/data");
    if (!isObject(given)) throw wrong("It has to stay a JSON object.", "/data");
    const changes = difference(before, given);
    if (!Object.keys(changes).length) throw wrong("Nothing was changed.", "/data");
    await post(path`/ledger/${entry.ledgerId}/resubmit`, { data: changes });
    say("Corrected and put back to work");
    await changed(true);
  }, { class: "inset" });
}

// The JSON merge patch (RFC 7396) that makes one of the other: what is not there any more is null.
function difference(before, after) {
  const changes = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[name], after[name]];
    if (JSON.stringify(was) !== JSON.stringify(is)) changes[name] = isObject(was) && isObject(is) ? difference(was, is) : is ?? null;
  }
  return changes;
}

function discarding(entry, changed) {
  const reason = input({ maxlength: 500 });
  return form([field("Why", reason, "/reason", "The work is ended for good; the reason stays in the history.")], "Discard for good", async () => {
    await post(path`/ledger/${entry.ledgerId}/discard`, { reason: reason.value.trim() });
    say("Discarded");
    await changed(false);
  }, { kind: "danger", class: "inset" });
}
