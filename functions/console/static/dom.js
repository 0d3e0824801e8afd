// What the views are made of. Text goes into the page as text only: nothing here, or anywhere, parses markup.

import { get } from "./api.js";

// An element: h("p.faint", { id: "x" }, child, …), the attributes only where there are some.
export function h(tag, ...children) {
  const [kind, ...classes] = tag.split(".");
  const element = document.createElement(kind);
  if (classes.length) element.className = classes.join(" ");
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "hidden", "selected", "open"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

const flat = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...flat(children));
  return element;
}

export const put = (parent, ...children) => (parent.replaceChildren(...flat(children)), parent);

let numbered = 0;
const freshId = () => `id-${++numbered}`;

// Words ---------------------------------------------------------------------------------------------------

const FLOWS = { charging: "Charging", crm_api: "CRM API", record_sync: "8x8 records" };
const CONNECTORS = {
  crowdtwist: "CrowdTwist", questionpro: "QuestionPro", ocsio: "OCS.io", siebel: "Siebel", vcc: "8x8", sem: "SEM",
  meta: "Meta", builtin_crm: "Built-in CRM", builtin: "Built-in CRM",
};
export const words = (name) => {
  const text = String(name).replace(/[_.-]+/g, " ").replace(/([a-z])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`);
  return text.charAt(0).toUpperCase() + text.slice(1);
};
export const flowName = (flow) => FLOWS[flow] || `${words(flow).replace(/y$/, "ie").replace(/h$/, "he")}s`;
export const connectorName = (name) => CONNECTORS[name] || words(name);
export const number = (value) => Number(value ?? 0).toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

const KINDS = {
  good: ["synced", "unchanged", "delivered", "active", "responded", "complete", "closed", "done"],
  bad: ["data_error", "remote_failure", "integration_failure", "failed", "open", "stopped", "disabled"],
  wait: ["retrying", "unknown", "half-open", "reminded", "canary", "running", "in_progress", "pending", "held"],
};
const MARKS = { good: "✓", bad: "✕", wait: "◔", plain: "–" };

export function badge(status, text = words(status), kind = undefined) {
  const found = kind || Object.keys(KINDS).find((name) => KINDS[name].includes(status)) || "plain";
  return h("span", { class: `badge ${found}` }, h("span", { "aria-hidden": "true" }, MARKS[found]), text);
}

export function age(iso) {
  const seconds = Math.round((Date.now() - Date.parse(iso)) / 1000);
  const size = Math.abs(seconds);
  const [count, unit] =
    size < 60 ? [size, "s"] : size < 3600 ? [Math.round(size / 60), "min"]
    : size < 172800 ? [Math.round(size / 3600), "h"] : [Math.round(size / 86400), "d"];
  return { text: `${count} ${unit}`, past: seconds >= 0 };
}

export function when(iso, relative = true) {
  if (!iso) return faint("–");
  const full = new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const { text, past } = age(iso);
  return h("time", { datetime: iso, title: `${full} (your time)` },
    relative ? (past ? `${text} ago` : `in ${text}`) : full);
}

export const code = (text) => text && h("code", text);
export const strong = (text) => h("strong", text);
export const customerLink = (id, text = id) => id && h("a", { href: `#/customer/${encodeURIComponent(id)}` }, text);
export const faint = (text) => h("span.faint", text);
export const unfold = (title, data) => h("details", h("summary", title), h("pre", { tabindex: "0" }, JSON.stringify(data, null, 2)));

// Parts ---------------------------------------------------------------------------------------------------

export function say(text, kind = "good") {
  document.getElementById("said").textContent = text;
  const toast = h("div", { class: `toast ${kind}`, "aria-hidden": "true" }, text);
  const toasts = document.getElementById("toasts");
  toasts.append(toast);
  if (toasts.matches(":popover-open")) toasts.hidePopover();
  toasts.showPopover(); // above a dialog that is open
  setTimeout(() => toast.remove(), kind === "bad" ? 9000 : 5000);
}

export function problem(error) {
  if (!error.status && error.status !== 0) console.error(error);
  return h("div.notice.bad", { role: "alert" },
    h("p", strong(error.title || "It did not work"), ": ", error.message),
    (error.errors || []).length > 0 &&
      h("ul", error.errors.map((one) => h("li", code(one.pointer), " ", one.detail))),
    error.correlationId && h("p.faint", "Correlation id ", code(error.correlationId)));
}

export const notice = (kind, ...children) => h("div", { class: `notice ${kind}` }, ...children);
export const empty = (title, ...more) => h("div.empty", h("p", strong(title)), more.length ? h("p", ...more) : null);
export const loading = (lines = 3) =>
  h("div.loading", { "aria-busy": "true" }, h("span.visually-hidden", "Loading"), Array.from({ length: lines }, () => h("div")));

// A part of a page that loads by itself; what a deployment lacks, or the key may not see, is one quiet line.
export function part(load, { lines = 3, absent = "Not available here.", look = "" } = {}) {
  const box = h("div", { class: `part ${look}` }, loading(lines));
  let turn = 0;
  box.reload = async (quiet = false) => {
    const mine = ++turn;
    if (!quiet) put(box, loading(lines));
    const found = await load(box).catch((error) => (error.isAbsent ? h("p.faint", absent) : problem(error)));
    if (mine === turn) put(box, found); // the latest wins, however slow an earlier one was
  };
  box.ready = box.reload(true);
  return box;
}

// A button that cannot be pressed twice while its work is going on.
export function button(label, act, { kind = "", name } = {}) {
  const made = h("button", { type: "button", class: kind, "aria-label": name }, label);
  made.addEventListener("click", () => once(made, act, (error) => {
    if (error.status === undefined) console.error(error);
    say(error.message, "bad");
  }));
  return made;
}

async function once(made, act, failed) {
  if (made.hasAttribute("aria-disabled")) return;
  made.setAttribute("aria-disabled", "true");
  try {
    await act();
  } catch (error) {
    failed(error);
  } finally {
    made.removeAttribute("aria-disabled");
  }
}

// Columns: [heading, cell of a row, "num" | "wide" | ""]. On a narrow screen each row is a card, so the roles are said.
export function table(caption, columns, rows) {
  const cell = ([heading, make, look], row) =>
    h("td", { role: "cell", "data-label": heading, class: look }, h("div", make(row) || (heading && faint("–"))));
  return h("table", { role: "table" },
    h("caption.visually-hidden", caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map(([heading, , look]) => h("th", { role: "columnheader", scope: "col", class: look }, heading || h("span.visually-hidden", "Actions"))))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map((column) => cell(column, row))))));
}

// A list that grows by the page; `show(items)` gives an element of them all. A page of nothing is passed over:
// the API looks through so many entries for a filter, and hands over.
export async function pages(where, show, none, query = {}, keep = () => true) {
  let items = [];
  const box = h("div");
  const more = async (cursor) => {
    const known = items.length;
    for (let asked = 0; items.length === known && (cursor || !asked) && asked < 9; asked += 1) {
      const page = await get(where, { ...query, cursor });
      items = items.concat(page.items.filter(keep));
      cursor = page.next;
    }
    put(box, items.length ? show(items) : none, cursor && h("p", button("Show more", () => more(cursor))));
  };
  await more();
  return box;
}

export const section = (title, ...children) =>
  h("section", h("h2", title), ...children);

export function facts(pairs) {
  return h("dl.facts", pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => h("div", h("dt", name), h("dd", value))));
}

function copyable(text) {
  const box = h("input", { readonly: true, value: text, class: "mono", "aria-label": "Value to copy", onfocus: () => box.select() });
  return h("div.copyable", box, button("Copy", async () => {
    box.select();
    await navigator.clipboard.writeText(text);
    say("Copied");
  }));
}

// Fields --------------------------------------------------------------------------------------------------

export function field(label, control, pointer = "", hint = "") {
  const id = (control.id = freshId());
  control.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  return h("div.field", { "data-pointer": pointer }, h("label", { for: id }, label), control,
    h("p.hint", { id: `${id}-hint`, hidden: !hint }, hint), h("p.fault", { id: `${id}-fault`, hidden: true }));
}

export const input = (attributes) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
export const area = (attributes) => h("textarea", { rows: 4, spellcheck: "false", class: "mono", ...attributes });
export const choice = (options, value) =>
  h("select", options.map((option) => {
    const [held, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: held, selected: held === value }, text);
  }));
export const tick = (label, checked = false) => {
  const box = h("input", { type: "checkbox", checked });
  return { box, element: h("label.tick", box, h("span", label)) };
};

export function ticks(label, options, chosen, hint) {
  const boxes = options.map((option) => tick(option, chosen.includes(option)));
  const element = h("fieldset.field", h("legend", label), hint && h("p.hint", hint),
    h("div.ticks", boxes.map((one) => one.element)), h("p.fault", { hidden: true }));
  return { element, chosen: () => options.filter((_, i) => boxes[i].box.checked) };
}

// Puts the API's complaints beside the fields they are about; what has no field comes on top.
function showFaults(form, error) {
  clearFaults(form);
  const fields = [...form.querySelectorAll(".field[data-pointer]")].filter((box) => box.dataset.pointer);
  const rest = [];
  for (const one of error.errors || []) {
    const place = fields
      .filter((box) => one.pointer === box.dataset.pointer || one.pointer.startsWith(`${box.dataset.pointer}/`))
      .sort((a, b) => b.dataset.pointer.length - a.dataset.pointer.length)[0];
    if (!place) {
      rest.push(one);
      continue;
    }
    const fault = place.querySelector(".fault");
    fault.textContent = one.detail;
    fault.hidden = false;
    place.querySelector("input, select, textarea")?.setAttribute("aria-invalid", "true");
  }
  const { title, message, status } = error;
  form.prepend(Object.assign(problem({ title, message, status, errors: rest }), { className: "notice bad faults" }));
  (form.querySelector("[aria-invalid]") || form.querySelector("input, select, textarea"))?.focus();
}

function clearFaults(form) {
  form.querySelectorAll(".faults").forEach((one) => one.remove());
  form.querySelectorAll(".fault").forEach((one) => Object.assign(one, { hidden: true, textContent: "" }));
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
}

export function form(children, label, act, { kind = "primary", beside = [], ...attributes } = {}) {
  const submit = h("button", { type: "submit", class: kind }, label);
  const made = h("form", { novalidate: true, ...attributes }, children, h("div.actions", submit, beside));
  const send = async () => {
    clearFaults(made);
    await act();
  };
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    once(submit, send, (error) => {
      if (error.status === undefined && !error.isInput) console.error(error);
      showFaults(made, error);
    });
  });
  return made;
}

// An input that is wrong before anything is sent.
export function wrong(detail, pointer) {
  return Object.assign(new Error(pointer ? "Look at the marked field." : detail), { isInput: true, title: "Not sent", errors: pointer ? [{ pointer, detail }] : [] });
}

export function readJson(text, pointer) {
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(`This is not JSON: ${error.message}`, pointer);
  }
}

// Dialogs -------------------------------------------------------------------------------------------------

export function dialog(title, children, { wide = false, onclose } = {}) {
  const heading = h("h2", { id: freshId(), tabindex: "-1" }, title);
  const body = h("div.dialog-body", children);
  const box = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": heading.id },
    h("div.dialog-head", heading, button("✕", () => box.close(), { kind: "quiet icon", name: "Close" })), body);
  box.addEventListener("close", () => {
    box.remove();
    onclose?.();
  });
  document.body.append(box);
  box.showModal();
  (body.querySelector("input:not([readonly]), textarea, select") || heading).focus();
  return box;
}

// What a button does once it was asked for again: something that cannot be undone, or reaches many. `typed` has
// to be typed in first.
export const sure = (title, text, label, act, options) => async () => {
  if (await confirm(title, text, label, options)) await act();
};

function confirm(title, text, label, { danger = false, typed } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const proof = typed && input({});
    const ask = form([h("p", text), proof && field(`Type ${typed} to go on`, proof, "/typed")], label, () => {
      if (typed && proof.value.trim() !== typed) throw wrong(`It has to be ${typed}.`, "/typed");
      answer = true;
      box.close();
    }, { kind: danger ? "danger" : "primary", beside: [button("Cancel", () => box.close())] });
    const box = dialog(title, ask, { onclose: () => resolve(answer) });
    if (!typed) ask.querySelector("[type=submit]").focus();
  });
}

export function secretOnce(title, text, secret) {
  dialog(title, [
    secret
      ? [notice("wait", h("p", strong("Shown this once."), " ", text)), copyable(secret)]
      : notice("bad", h("p", "It was made, but its answer was lost on the way, and it cannot be shown again. Make another.")),
  ]);
}

// Asks again until `done(found)`, for at most `seconds`; stops when the place it is for has left the page.
export async function follow(place, look, done, { seconds = 60, every = 1500 } = {}) {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (done(found) || Date.now() > until || !place.isConnected) return found;
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
