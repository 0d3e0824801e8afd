// What failed, by cause, with what to do; and doing it again: one, a canary and then the group.

import { get, path, post } from "./api.js";
import { badge, button, code, empty, flowName, follow, h, notice, number, pages, part, plural, problem, put, say, strong, sure, table, when, words } from "./dom.js";
import { entryLink, openEntry } from "./entry.js";

// Runs that a person is watching: the list is not renewed under them.
let watched = 0;

export async function view(root, context) {
  const renew = () => { if (!watched) causes.reload(true); };
  const causes = part(async () => {
    const { items } = await get("/ledger/summary");
    return items.length
      ? [h("p.faint", `${plural(items.reduce((sum, one) => sum + one.count, 0), "piece")} of work in ${plural(items.length, "cause")}, the most frequent first.`),
        h("ul.stack", items.map((one) => cause(one, context, renew)))]
      : empty("Nothing has failed.", "What fails for good is shown here by its cause, with what to do about it.");
  }, { lines: 5 });
  put(root, h("p.view-actions", button("Refresh", () => causes.reload(true))), causes);
  await causes.ready;
}

function cause(one, context, changed) {
  const place = h("div.cause-more");
  const group = { flow: one.flow, code: one.code };
  const writes = context.may("ledger:write");
  const show = (make) => () => {
    const found = part(make, { lines: 2 });
    put(place, found);
    return found.ready;
  };
  return h("li.card.cause", { "data-code": one.code, "data-flow": one.flow },
    h("div.card-head", h("h2", code(one.code), " ", h("span.in", flowName(one.flow))), badge("failed", number(one.count))),
    one.retrying > 0 && h("p.faint", `${number(one.retrying)} of them are still repeated by themselves.`),
    one.action && h("p.todo", strong("What to do: "), one.action),
    h("div.actions",
      button("Look at one", () => openEntry(one.sample, context, changed)),
      button("Show all", show(() => entries(group, context, changed))),
      writes && button("Dry run", show(() => dryRun(group))),
      writes && button("Resubmit all…", sure(`Resubmit ${plural(one.count, "entry", "entries")}?`,
        "The first one goes alone, as a canary. If it fails again the rest stays as it is.", "Resubmit", show(() => resubmit(group, place, changed))))),
    place);
}

function entries(group, context, changed) {
  return pages("/ledger", (items) => table("Entries of this cause", [
    ["Entry", (one) => entryLink(one.ledgerId, context, changed)],
    ["State", (one) => badge(one.status)],
    ["Why", (one) => one.detail, "wide"],
    ["Attempts", (one) => number(one.attempts), "num"],
    ["Last move", (one) => when(one.updatedAt)],
  ], items), empty("None is left."), group, (one) => one.status !== "discarded");
}

async function dryRun(group) {
  const { items, matched } = await post("/ledger/resubmissions", { ...group, dryRun: true });
  if (!items.length) return empty("Nothing would be done.");
  const kinds = Map.groupBy(items, (one) => one.would);
  return notice("plain",
    h("p", strong("Dry run. "), [...kinds].map(([would, of]) => `${plural(of.length, "entry", "entries")} would ${would}`).join("; "), ".",
      matched > items.length && ` There are ${number(matched)} in all.`),
    h("details", h("summary", "Each of them"), table("What each would do", [
      ["Entry", (one) => code(one.ledgerId)],
      ["Would", (one) => one.would, "wide"],
    ], items)));
}

async function resubmit(group, place, changed) {
  const { resubmissionId, matched, more } = await post("/ledger/resubmissions", group);
  const where = path`/ledger/resubmissions/${resubmissionId}`;
  const line = h("div", { role: "status" }, h("p", `${plural(matched, "entry", "entries")} on the way.`));
  watched += 1;
  setTimeout(() => follow(place, async () => {
    const now = await get(where);
    put(line, progress(now));
    return now;
  }, (now) => ["complete", "stopped"].includes(now.status), { seconds: 300 }).then((last) => {
    if (last.status === "stopped") say("The canary failed; the rest was left alone", "bad");
    // Why it stopped stays to be read; what is through goes from the list.
    if (last.status === "complete") {
      say("Resubmission complete", "good");
      setTimeout(changed, 4000);
    }
  }).catch((error) => put(line, problem(error))).finally(() => { watched -= 1; }));
  return notice("plain", line, more && h("p", "There are more: resubmit again when these are through."));
}

function progress(now) {
  const text = { canary: "Trying the canary first", running: "The canary went through; the rest is on the way", complete: "Complete", stopped: "Stopped: the canary failed, the rest was left alone" };
  return [
    h("p", badge(now.status, text[now.status] || words(now.status)), " ",
      `${number(now.succeeded)} of ${number(now.matched)} done`, now.failed ? `, ${number(now.failed)} failed again` : "", now.skipped ? `, ${number(now.skipped)} left out: done or under way` : "", "."),
    h("progress", { max: now.matched || 1, value: (now.succeeded || 0) + (now.failed || 0) + (now.skipped || 0), "aria-label": "Resubmitted" }),
    now.detail && h("p", now.detail),
  ];
}
