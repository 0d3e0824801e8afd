// A form made from a JSON schema (2020-12, as pydantic writes it). Each node is {element, read(pointer)}.

import { area as textarea, button, choice, field, h, input, readJson, tick, ticks, words, wrong } from "./dom.js";

export function schemaForm(schema, value) {
  const maker = new Maker(schema.$defs || {});
  const top = maker.object(maker.resolve(schema), value || {}, { top: true });
  return { element: top.element, read: () => top.read("") };
}

const escaped = (name) => String(name).replaceAll("~", "~0").replaceAll("/", "~1");
const firstLines = (text) => (text || "").split("\n\n")[0].replaceAll("`", "").replace(/\s+/g, " ").trim();

class Maker {
  constructor(defs) {
    this.defs = defs;
  }

  // A schema without references; `nullable` when null is a value too.
  resolve(schema) {
    if (schema.$ref) {
      const { $ref, ...beside } = schema;
      return this.resolve({ ...this.defs[$ref.split("/").at(-1)], ...beside });
    }
    if (schema.allOf?.length === 1) {
      const { allOf, ...beside } = schema;
      return this.resolve({ ...allOf[0], ...beside });
    }
    if (schema.anyOf) {
      const { anyOf, ...beside } = schema;
      const real = anyOf.filter((one) => one.type !== "null");
      if (real.length === 1) return { ...this.resolve({ ...real[0], ...beside }), nullable: real.length < anyOf.length };
      return { ...beside, free: true };
    }
    return schema;
  }

  valueSchema(schema) {
    const [named] = Object.values(schema.patternProperties || {});
    const held = named || schema.additionalProperties;
    return held && typeof held === "object" && Object.keys(held).length ? this.resolve(held) : null;
  }

  fresh(schema) {
    if (schema.default !== undefined) return schema.default;
    if (schema.const !== undefined) return schema.const;
    if (schema.nullable) return null;
    return { object: {}, array: [], boolean: false }[schema.type] ?? null;
  }

  node(name, raw, value, required) {
    const schema = this.resolve(raw);
    const label = words(name) + (required ? "" : schema.nullable ? " (optional)" : "");
    const held = value === undefined ? this.fresh(schema) : value;
    if (schema.properties) return schema.nullable ? this.optional(label, schema, held) : this.object(schema, held || {}, { label });
    if (schema.type === "object" && this.valueSchema(schema)) return this.map(label, schema, held || {});
    if (schema.type === "array") return this.array(label, schema, held || []);
    return this.leaf(label, schema, held, required);
  }

  leaf(label, schema, value, required) {
    const hint = firstLines(schema.description);
    if (schema.type === "boolean") {
      const one = tick(label, Boolean(value));
      const box = h("div.field", { "data-pointer": "" }, one.element, hint && h("p.hint", hint), h("p.fault", { hidden: true }));
      return { element: box, read: (pointer) => ((box.dataset.pointer = pointer || "/"), one.box.checked) };
    }
    const options = schema.enum || (schema.const !== undefined ? [schema.const] : null);
    const numeric = ["integer", "number"].includes(schema.type);
    const free = !options && !numeric && schema.type !== "string";
    let control;
    if (options) control = choice(schema.nullable ? [["", "–"], ...options] : options, value ?? "");
    else if (free) control = textarea({ rows: 2, value: value === null || (typeof value === "object" && !Object.keys(value).length) ? "" : JSON.stringify(value, null, 1) });
    else {
      control = input({
        type: numeric ? "number" : "text", value: value ?? "", step: schema.type === "integer" ? "1" : numeric ? "any" : null,
        min: schema.minimum, max: schema.maximum, maxlength: schema.maxLength,
      });
    }
    const more = [hint, free ? "JSON; empty for always." : "", numeric ? range(schema) : ""].filter(Boolean).join(" ");
    const box = field(label, control, "", more);
    const read = (pointer) => {
      box.dataset.pointer = pointer || "/";
      const text = control.value.trim();
      if (free) return readJson(text, pointer) ?? (schema.nullable ? null : {});
      if (text === "" && schema.nullable) return null;
      if (text === "" && !required) return undefined;
      if (!numeric) return text;
      if (text === "" || Number.isNaN(Number(text))) throw wrong("A number is needed.", pointer);
      return Number(text);
    };
    return { element: box, read };
  }

  object(schema, value, { label, top = false } = {}) {
    const required = schema.required || [];
    const made = Object.entries(schema.properties).map(([name, raw]) => [name, this.node(name, raw, value[name], required.includes(name))]);
    const read = (pointer) => {
      const out = {};
      for (const [name, node] of made) {
        const held = node.read(`${pointer}/${escaped(name)}`);
        if (held !== undefined) out[name] = held;
      }
      return out;
    };
    const hint = firstLines(schema.description);
    const inner = [hint && !top && h("p.hint", hint), h("div.form-grid", made.map(([, node]) => node.element))];
    const element = label ? h("fieldset", h("legend", label), inner) : h("div", inner);
    return { element, read };
  }

  // An object that may be left out altogether.
  optional(label, schema, value) {
    const { nullable, ...real } = schema;
    let node = null;
    const place = h("div");
    const turn = (on, held) => {
      node = on ? this.object(real, held || {}) : null;
      place.replaceChildren(...(node ? [node.element] : []));
    };
    const one = tick(label.replace(" (optional)", ""), value !== null);
    one.box.addEventListener("change", () => turn(one.box.checked));
    turn(value !== null, value);
    return { element: h("fieldset", h("legend", one.element), place), read: (pointer) => (node ? node.read(pointer) : null) };
  }

  array(label, schema, value) {
    const items = this.resolve(schema.items || {});
    const hint = firstLines(schema.description);
    if (items.enum) return this.ticks(label, items.enum, value, hint);
    if (items.type === "string") {
      const control = textarea({ rows: Math.min(6, Math.max(2, value.length)), value: value.join("\n") });
      const box = field(`${label}, one a line`, control, "", hint);
      return { element: box, read: (pointer) => ((box.dataset.pointer = pointer), control.value.split("\n").map((line) => line.trim()).filter(Boolean)) };
    }
    return this.rows(label, hint, value.map((held) => ({ held })), ({ held }) => this.row(items, held), () => ({ held: this.fresh({ ...items, nullable: false }) }),
      (nodes, pointer) => nodes.map((node, i) => node.read(`${pointer}/${i}`)), true);
  }

  row(items, held) {
    return items.properties ? this.object(items, held || {}) : this.leaf("Value", items, held, true);
  }

  ticks(label, options, value, hint) {
    const { element, chosen } = ticks(label, options, value, hint);
    return { element, read: (pointer) => ((element.dataset.pointer = pointer), chosen()) };
  }

  map(label, schema, value) {
    const of = this.valueSchema(schema);
    const make = ({ name, held }) => {
      const key = input({ value: name });
      const keyBox = field("Name", key);
      const node = this.row(of, held);
      return { element: h("div", { class: of.properties ? "" : "row" }, keyBox, node.element), key, keyBox, read: (pointer) => ((keyBox.dataset.pointer = pointer), node.read(pointer)) };
    };
    const read = (nodes, pointer) => {
      const out = {};
      for (const node of nodes) {
        const name = node.key.value.trim();
        const here = `${pointer}/${escaped(name)}`;
        node.keyBox.dataset.pointer = here;
        if (!name) throw wrong("A name is needed.", here);
        if (name in out) throw wrong("This name is there twice.", here);
        out[name] = node.read(here);
      }
      return out;
    };
    return this.rows(label, firstLines(schema.description), Object.entries(value).map(([name, held]) => ({ name, held })), make,
      () => ({ name: "", held: this.fresh({ ...of, nullable: false }) }), read, false);
  }

  // Rows that can be added, taken away and, where their order counts, moved.
  rows(label, hint, values, make, fresh, read, ordered) {
    const list = h("ol.rows");
    const nodes = new Map();
    const add = (value) => {
      const node = make(value);
      const row = h("li", node.element, h("div.row-actions",
        ordered && button("↑", () => row.previousElementSibling?.before(row), { kind: "quiet icon", name: `Move up, ${label}` }),
        ordered && button("↓", () => row.nextElementSibling?.after(row), { kind: "quiet icon", name: `Move down, ${label}` }),
        button("Remove", () => (nodes.delete(row), row.remove()), { kind: "quiet danger small", name: `Remove, ${label}` })));
      nodes.set(row, node);
      list.append(row);
      return row;
    };
    values.forEach(add);
    const element = h("fieldset", h("legend", label), hint && h("p.hint", hint), list,
      button("+ Add", () => add(fresh()).querySelector("input, select, textarea")?.focus(), { kind: "small", name: `Add, ${label}` }));
    return { element, read: (pointer) => read([...list.children].map((row) => nodes.get(row)), pointer) };
  }
}

function range({ minimum, maximum, exclusiveMinimum }) {
  const low = minimum ?? exclusiveMinimum;
  if (low === undefined && maximum === undefined) return "";
  if (maximum === undefined) return `At least ${low}.`;
  return low === undefined ? `At most ${maximum}.` : `${exclusiveMinimum === undefined ? "" : "Above "}${low} to ${maximum}.`;
}
