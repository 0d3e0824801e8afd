// Find a customer; everything that happened around it, across all flows.

import { call, get, path } from "./api.js";
import { badge, button, code, confirm, empty, faint, facts, field, flowName, form, h, input, pages, part, put, say, section, table, when, words, wrong } from "./dom.js";
import { openEntry } from "./entry.js";

const KNOWN = ["at", "flow", "status", "ledgerId", "code", "title", "detail", "customerId"];

export async function view(root, context) {
  const [id] = context.rest;
  const found = h("div", {});
  put(root, search(found, context, id), found);
  if (id) await one(found, id, context);
  else put(found, empty("Whose story?", context.may("crm:read") ? "Search by name, e-mail address or phone number, or give a customer's id." : "Give a customer's id."));
}

function search(found, { may }, id) {
  const text = input({ type: "search", value: id || "", name: "q" });
  const reads = may("crm:read");
  return form([field(reads ? "Name, e-mail address, phone or id" : "Customer id", text, { pointer: "/q" })], reads ? "Search" : "Open", async () => {
    const wanted = text.value.trim();
    if (!wanted) throw wrong("Type something to look for.", "/q");
    const open = (customerId) => { location.hash = `#/customer/${encodeURIComponent(customerId)}`; };
    if (!reads) return open(wanted);
    const exact = await get(path`/crm/customers/${wanted}`).catch(() => null);
    if (exact) return open(exact.accountId);
    const query = wanted.includes("@") ? { email: wanted } : /^\+?[\d ()/-]{5,}$/.test(wanted) ? { phone: wanted } : { q: wanted };
    put(found, await pages((cursor) => get("/crm/customers", { ...query, cursor }), (items) => table("Customers", [
      ["Name", (one) => h("a", { href: `#/customer/${encodeURIComponent(one.accountId)}` }, name(one))],
      ["E-mail", (one) => one.email || faint("–")],
      ["Phone", (one) => one.phone || faint("–")],
      ["Company", (one) => one.company || faint("–")],
      ["Since", (one) => when(one.createdAt)],
    ], items), empty("Nobody matches.", "E-mail addresses and phone numbers have to be whole; a name may be a part.")));
  }, { attributes: { class: "search", role: "search" } });
}

const name = (one) => [one.firstName, one.lastName].filter(Boolean).join(" ");

async function one(found, id, context) {
  const { may, isAdmin } = context;
  const record = may("crm:read") && part(async () => {
    const customer = await get(path`/crm/customers/${id}`);
    return [
      h("div", { class: "card-head" }, h("h2", {}, name(customer)), customer.temporary && badge("temporary", "temporary name", "wait")),
      facts([
        ["Id", code(customer.accountId)], ["E-mail", customer.email], ["Phone", customer.phone], ["Company", customer.company], ["Country", customer.country],
        ["Social profiles", (customer.profiles || []).map((each) => `${each.community}: ${each.authorName || each.handle || each.authorId}`).join(", ")],
        ["Since", when(customer.createdAt, { relative: false })],
      ]),
      isAdmin && h("div", { class: "actions" }, button("Erase…", async () => {
        const sure = await confirm("Erase this customer?", "The record and what is personal in its entries are removed, everywhere they are kept here. This cannot be undone.", "Erase", { danger: true, typed: id });
        if (!sure) return;
        await call("DELETE", path`/customers/${id}`, { query: { erase: "true" } });
        say("Erased");
        location.hash = "#/customer";
      }, { kind: "danger quiet" })),
    ];
  }, { lines: 4, absent: "The CRM has no such customer.", look: "card" });
  const timeline = may("ledger:read") && part(() => pages((cursor) => get(path`/customers/${id}/timeline`, { cursor }),
    (items) => h("ol", { class: "timeline" }, items.map((item) => moment(item, context))),
    empty("Nothing has happened yet.")), { absent: "No timeline is available for this customer." });
  put(found, record, timeline && section("Timeline", timeline));
  await Promise.all([record?.ready, timeline?.ready]);
}

function moment(item, context) {
  const more = Object.entries(item).filter(([key, value]) => !KNOWN.includes(key) && value !== null && typeof value !== "object" && value !== "");
  return h("li", {},
    h("div", { class: "moment" },
      h("div", { class: "moment-head" }, h("strong", {}, item.title || flowName(item.flow)), item.status && badge(item.status), item.code && code(item.code)),
      item.detail && h("p", {}, item.detail),
      more.length > 0 && h("p", { class: "faint break" }, more.map(([key, value]) => `${words(key)} ${value}`).join(" · "))),
    h("div", { class: "moment-side" }, when(item.at), item.ledgerId && button("History", () => openEntry(item.ledgerId, context), { kind: "small", name: `History of ${flowName(item.flow)}, ${item.ledgerId}` })));
}
