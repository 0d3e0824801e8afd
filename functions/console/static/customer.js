// Find a customer; everything that happened around it, across all flows.

import { call, get, path } from "./api.js";
import { badge, button, code, customerLink, empty, facts, faint, field, flowName, follow, form, h, input, notice, number, pages, part, put, say, section, strong, sure, table, when, words, wrong } from "./dom.js";
import { openEntry } from "./entry.js";

const KNOWN = ["at", "updatedAt", "flow", "status", "ledgerId", "code"];

export async function view(root, context) {
  const [id] = context.rest;
  const found = h("div");
  put(root, search(found, context, id), found);
  if (id) await one(found, id, context);
  else put(found, empty("Whose story?", context.may("crm:read") ? "Search above." : "Give a customer's id above."));
}

function search(found, { may }, id) {
  const text = input({ type: "search", value: id || "", name: "q" });
  const reads = may("crm:read");
  return form([field(reads ? "Name, e-mail address, phone or id" : "Customer id", text, "/q")], reads ? "Search" : "Open", async () => {
    const wanted = text.value.trim();
    if (!wanted) throw wrong("Type something to look for.", "/q");
    const open = (customerId) => { location.hash = `#/customer/${encodeURIComponent(customerId)}`; };
    if (!reads) return open(wanted);
    const exact = await get(path`/crm/customers/${wanted}`).catch(() => null);
    if (exact) return open(exact.accountId);
    const query = wanted.includes("@") ? { email: wanted } : /^\+?[\d ()/-]{5,}$/.test(wanted) ? { phone: wanted } : { q: wanted };
    put(found, await pages("/crm/customers", (items) => table("Customers", [
      ["Name", (one) => customerLink(one.accountId, name(one))],
      ["E-mail", (one) => one.email],
      ["Phone", (one) => one.phone],
      ["Company", (one) => one.company],
      ["Since", (one) => when(one.createdAt)],
    ], items), empty("Nobody matches.", "E-mail addresses and phone numbers have to be whole."), query));
  }, { class: "search", role: "search" });
}

const name = (one) => [one.firstName, one.lastName].filter(Boolean).join(" ");

async function one(found, id, context) {
  const { may, isAdmin } = context;
  const record = may("crm:read") && part(async () => {
    const customer = await get(path`/crm/customers/${id}`);
    return [
      h("div.card-head", h("h2", name(customer)), customer.temporary && badge("temporary", "temporary name", "wait")),
      facts([
        ["Id", code(customer.accountId)], ["E-mail", customer.email], ["Phone", customer.phone], ["Company", customer.company], ["Country", customer.country],
        ["Social profiles", (customer.profiles || []).map((each) => `${each.community}: ${each.authorName || each.handle || each.authorId}`).join(", ")],
        ["Since", when(customer.createdAt, false)],
      ]),
      isAdmin && h("div.actions", button("Erase…", sure("Erase this customer?", "The record, and what is personal in its entries, is removed for good.", "Erase", async () => {
        await call("DELETE", path`/customers/${id}`, { query: { erase: "true" } });
        say("The erasure is running");
        await erasure.reload(true);
        await Promise.all([record.reload(true), timeline.reload(true)]);
      }, { danger: true, typed: id }), { kind: "danger quiet" })),
    ];
  }, { lines: 4, absent: "The CRM has no such customer.", look: "card" });
  const erasure = isAdmin && part(async (box) => erased(await follow(found, async () => {
    const now = await get(path`/customers/${id}/erasure`);
    put(box, erased(now));
    return now;
  }, (now) => now.status !== "running")), { lines: 0, absent: "" });
  const timeline = may("ledger:read") && part(() => pages(path`/customers/${id}/timeline`,
    (items) => h("ol.timeline", items.map((item) => moment(item, context))),
    empty("Nothing has happened yet.")), { absent: "No timeline." });
  put(found, erasure, record, timeline && section("Timeline", timeline));
  await Promise.all([record?.ready, timeline?.ready]);
}

function erased(now) {
  return notice(now.status === "failed" ? "bad" : "wait",
    h("p", strong(`Erasure: ${now.status}. `), "Asked for by ", now.requestedBy, ", ", when(now.requestedAt), ". ", now.action || "",
      Object.entries(now.counts).map(([kind, count]) => `${words(kind)}: ${number(count)}`).join(", ")),
    now.byHand.length > 0 && [h("p", "Left to do by hand:"), h("ul", now.byHand.map((one) => h("li", `${one.system}: ${one.what} ${one.ids.join(", ")}`)))]);
}

function moment(item, context) {
  const more = Object.entries(item).filter(([key, value]) => !KNOWN.includes(key) && value !== null && typeof value !== "object" && value !== "");
  return h("li",
    h("div",
      h("div.line", strong(flowName(item.flow)), item.status && badge(item.status), code(item.code)),
      more.length > 0 && h("p.faint.break", more.map(([key, value]) => `${words(key)} ${value}`).join(" · "))),
    h("div.moment-side", when(item.at), item.ledgerId && button("History", () => openEntry(item.ledgerId, context), { kind: "small", name: `History of ${flowName(item.flow)}, ${item.ledgerId}` })));
}
