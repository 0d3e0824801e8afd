// Settings by form, made from each area's JSON schema; every version kept.

import { call, get, path, post } from "./api.js";
import { area as textarea, badge, button, field, form, h, pages, part, put, readJson, say, section, sure, table, unfold, when, words } from "./dom.js";
import { schemaForm } from "./schema.js";

export async function view(root, { rest }) {
  const areas = (await get("/settings")).items.map((one) => one.area);
  const [chosen = areas[0]] = rest;
  const content = part(async () => {
    const [stored, schema] = await Promise.all([get(path`/settings/${chosen}`), get(path`/settings/${chosen}/schema`)]);
    return editor(() => content.reload(true), chosen, stored, schema);
  }, { lines: 6 });
  put(root,
    h("nav.tabs", { "aria-label": "Areas" }, h("ul", areas.map((name) =>
      h("li", h("a", { href: `#/settings/${name}`, "aria-current": name === chosen ? "page" : null }, words(name)))))),
    content);
  await content.ready;
}

function editor(again, name, stored, schema) {
  const asText = () => {
    const text = textarea({ rows: 18, value: JSON.stringify(stored.settings, null, 2) });
    return { element: field("The whole area as JSON", text, "/"), read: () => readJson(text.value, "/") ?? {} };
  };
  let editing = schemaForm(schema, stored.settings);
  let written = false;
  const place = h("div", editing.element);
  const toggle = button("Edit as JSON", () => {
    stored = { ...stored, settings: editing.read() };
    written = !written;
    editing = written ? asText() : schemaForm(schema, stored.settings);
    put(place, editing.element);
    toggle.textContent = written ? "Edit by form" : "Edit as JSON";
  }, { kind: "quiet" });
  const save = form([place], "Save", async () => {
    await call("PUT", path`/settings/${name}`, { body: editing.read() });
    say("Saved; in force now");
    await again();
  }, { beside: [toggle], class: "settings" });
  const rollBack = (version, called) => button("Roll back…", sure(`Put ${called} in force?`, "It becomes a new version; nothing is lost.", "Roll back", async () => {
    await post(path`/settings/${name}/rollback`, { version });
    say(`In force again: ${called}`);
    await again();
  }), { kind: "small", name: `Roll back to ${called}` });
  const versions = part(() => pages(path`/settings/${name}/versions`, (items) => table("Versions", [
    ["Version", (one) => [String(one.version), " ", one.version === stored.version ? badge("active", "in force") : ""]],
    ["When", (one) => when(one.updatedAt, false)],
    ["Who", (one) => one.updatedBy],
    ["Settings", (one) => unfold("Look", one.settings), "wide"],
    ["", (one) => one.version !== stored.version && rollBack(one.version, `version ${one.version}`), "end"],
  ], items), h("p.faint", "The defaults are in force; nobody has changed them.")));
  return [
    h("p.faint", stored.version ? [`Version ${stored.version}, `, when(stored.updatedAt), ` by ${stored.updatedBy}.`] : "The defaults; nobody has changed them."),
    save, section("Versions", versions, stored.version > 0 && h("p.faint", "Before the first, the defaults were in force. ", rollBack(0, "the defaults"))),
  ];
}
