// Partners and their keys; and what administrators have done.

import { all, call, path, post } from "./api.js";
import { badge, button, code, dialog, empty, faint, field, form, h, input, pages, part, put, say, secretOnce, section, sure, table, ticks, when, wrong } from "./dom.js";

const SCOPES = [
  "social:write", "leads:write", "campaigns:read", "campaigns:write", "members:write", "members:read", "crm:read", "crm:write", "events:write",
  "triggers:write", "triggers:read", "surveys:write", "surveys:read", "charging:write", "charging:read", "ledger:read", "ledger:write", "admin",
];
const KEEP = "Hand it to the partner by a safe way; only its digest is kept here.";

export async function view(root) {
  const changed = () => Promise.all([partners.reload(true), audit.reload(true)]);
  const partners = part(async () => {
    const items = await all("/partners");
    return items.length ? h("ul.stack", items.map((one) => partner(one, changed)))
      : empty("No partner yet.", "A partner is a caller of the API, with its own keys and scopes.");
  }, { lines: 4 });
  const audit = part(() => pages("/audit", (items) => table("Administrative actions", [
    ["When", (one) => when(one.at)],
    ["Who", (one) => one.by],
    ["Did", (one) => one.action],
    ["To", (one) => h("span.break", Object.values(one.target).join(" ")), "wide"],
    ["Outcome", (one) => [badge(one.outcome), one.code && [" ", code(one.code)]]],
  ], items), empty("Nothing yet.")));
  put(root, h("p.view-actions", button("New partner…", () => create(changed), { kind: "primary" })), partners, section("Latest administrative actions", audit));
  await partners.ready;
}

function create(changed) {
  const name = input({ maxlength: 200 });
  const group = ticks("Scopes", SCOPES, []);
  group.element.dataset.pointer = "/scopes";
  const box = dialog("New partner", form([field("Name", name, "/name"), group.element], "Create", async () => {
    const chosen = group.chosen();
    if (!name.value.trim()) throw wrong("A name is needed.", "/name");
    if (!chosen.length) throw wrong("A key without a scope opens nothing.", "/scopes");
    const made = await post("/partners", { name: name.value.trim(), scopes: chosen });
    box.close();
    await changed();
    secretOnce(`The first key of ${name.value.trim()}`, KEEP, made.apiKey);
  }));
}

function partner(one, changed) {
  const here = path`/partners/${one.partnerId}`;
  return h("li.card", { "data-partner": one.name },
    h("div.card-head", h("h2", one.name), one.scopes.includes("admin") && badge("admin", "administrator", "wait")),
    h("span.chips", one.scopes.map((scope) => h("span.chip", scope))),
    table(`Keys of ${one.name}`, [
      ["Key", (key) => code(key.keyId)],
      ["Made", (key) => when(key.createdAt)],
      ["", (key) => button("Revoke…", sure("Revoke this key?", `Calls with ${key.keyId} are refused within five minutes.`, "Revoke", async () => {
        await call("DELETE", path`/partners/${one.partnerId}/keys/${key.keyId}`);
        say("Revoked");
        await changed();
      }, { danger: true }), { kind: "danger quiet small", name: `Revoke key ${key.keyId} of ${one.name}` }), "end"],
    ], one.keys),
    !one.keys.length && faint("No key: this partner cannot call."),
    h("div.actions",
      button("New key", async () => {
        const made = await post(`${here}/keys`);
        await changed();
        secretOnce(`A new key of ${one.name}`, `${KEEP} Revoke the old one once the partner has changed over.`, made.apiKey);
      }, { name: `New key for ${one.name}` }),
      button("Delete partner…", sure(`Delete ${one.name}?`, "Its keys stop within five minutes. What it has sent stays in the ledger.", "Delete", async () => {
        await call("DELETE", here);
        say("Deleted");
        await changed();
      }, { danger: true, typed: one.name }), { kind: "danger quiet", name: `Delete partner ${one.name}` })));
}
