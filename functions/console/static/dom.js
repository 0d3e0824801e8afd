// What the views are made of. Text goes into the page as text only: nothing here, or anywhere, parses markup.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
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
const freshId = (prefix = "id") => `${prefix}-${++numbered}`;

// Words ---------------------------------------------------------------------------------------------------

const FLOWS = { charging: "Charging", crm_api: "CRM API", record_sync: "8x8 records" };
const CONNECTORS = {
  crowdtwist: "CrowdTwist", questionpro: "QuestionPro", ocsio: "OCS.io", siebel: "Siebel", vcc: "8x8", sem: "SEM",
  meta: "Meta", builtin_crm: "Built-in CRM", builtin: "Built-in CRM",
};
const spaced = (name) => {
  const text = String(name).replace(/[_.-]+/g, " ").replace(/([a-z])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`);
  return text.charAt(0).toUpperCase() + text.slice(1);
};
export const words = spaced;
export const flowName = (flow) => FLOWS[flow] || `${spaced(flow).replace(/y$/, "ie").replace(/h$/, "he")}s`;
export const connectorName = (name) => CONNECTORS[name] || spaced(name);
export const number = (value) => Number(value ?? 0).toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

const KINDS = {
  good: ["synced", "unchanged", "delivered", "active", "responded", "complete", "closed", "done"],
  bad: ["data_error", "remote_failure", "integration_failure", "failed", "open", "stopped", "disabled"],
  wait: ["retrying", "unknown", "half-open", "reminded", "canary", "running", "in_progress", "pending", "held"],
};
const MARKS = { good: "✓", bad: "✕", wait: "◔", plain: "–" };

export function badge(status, text = spaced(status), kind = undefined) {
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

export function when(iso, { relative = true } = {}) {
  if (!iso) return h("span", { class: "faint" }, "–");
  const full = new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const { text, past } = age(iso);
  return h("time", { datetime: iso, title: `${full} (your time)` },
    relative ? (past ? `${text} ago` : `in ${text}`) : full);
}

export const code = (text) => h("code", {}, text);
export const customerLink = (id, text = id) => h("a", { href: `#/customer/${encodeURIComponent(id)}` }, text);
export const faint = (text) => h("span", { class: "faint" }, text);
export const scopes = (list) => h("span", { class: "chips" }, list.map((scope) => h("span", { class: "chip" }, scope)));

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
  return h("div", { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, error.title || "It did not work"), ": ", error.message),
    (error.errors || []).length > 0 &&
      h("ul", {}, error.errors.map((one) => h("li", {}, code(one.pointer), " ", one.detail))),
    error.correlationId && h("p", { class: "faint" }, "Correlation id ", code(error.correlationId)));
}

export const notice = (kind, ...children) => h("div", { class: `notice ${kind}` }, ...children);
export const empty = (title, ...more) => h("div", { class: "empty" }, h("p", {}, h("strong", {}, title)), more.length ? h("p", {}, ...more) : null);
export const loading = (lines = 3) =>
  h("div", { class: "loading", "aria-busy": "true" }, h("span", { class: "visually-hidden" }, "Loading"), Array.from({ length: lines }, () => h("div", {})));

// A part of a page that loads by itself; what a deployment lacks, or the key may not see, is one quiet line.
export function part(load, { lines = 3, absent = "Not available here.", look = "" } = {}) {
  const box = h("div", { class: `part ${look}` }, loading(lines));
  box.reload = async (quiet = false) => {
    if (!quiet) put(box, loading(lines));
    try {
      put(box, await load(box));
    } catch (error) {
      put(box, error.isAbsent ? h("p", { class: "faint" }, absent) : problem(error));
    }
    return box;
  };
  box.ready = box.reload(true);
  return box;
}

// A button that cannot be pressed twice while its work is going on.
export function button(label, act, { kind = "", title, describedby, type = "button", name } = {}) {
  const made = h("button", { type, class: kind, title, "aria-describedby": describedby, "aria-label": name }, label);
  made.addEventListener("click", async (event) => {
    if (made.getAttribute("aria-disabled") === "true" || type === "submit") return;
    await busy(made, () => act(event));
  });
  return made;
}

async function busy(made, act) {
  made.setAttribute("aria-disabled", "true");
  try {
    return await act();
  } catch (error) {
    if (error.status === undefined) console.error(error);
    say(error.message, "bad");
    return undefined;
  } finally {
    made.removeAttribute("aria-disabled");
  }
}

// Columns: [heading, cell of a row, "num" | "wide" | ""]. On a narrow screen each row is a card, so the roles are said.
export function table(caption, columns, rows) {
  const cell = ([heading, make, look], row) =>
    h("td", { role: "cell", "data-label": heading, class: look }, h("div", {}, make(row)));
  return h("table", { role: "table" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map(([heading, , look]) => h("th", { role: "columnheader", scope: "col", class: look }, heading || h("span", { class: "visually-hidden" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map((column) => cell(column, row))))));
}

// A list that grows by the page. `load(cursor)` gives {items, next}; `show(items)` an element of them all.
export async function pages(load, show, none) {
  let items = [];
  const box = h("div", {});
  const more = async (cursor) => {
    const page = await load(cursor);
    items = items.concat(page.items);
    put(box, items.length ? show(items) : none,
      page.next && h("p", {}, button("Show more", () => more(page.next))));
  };
  await more(undefined);
  return box;
}

export const section = (title, ...children) =>
  h("section", {}, h("h2", {}, title), ...children);

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function copyable(text, label = "Copy") {
  const box = h("input", { readonly: true, value: text, class: "mono", "aria-label": "Value to copy", onfocus: () => box.select() });
  return h("div", { class: "copyable" }, box, button(label, async () => {
    box.select();
    await navigator.clipboard.writeText(text);
    say("Copied");
  }));
}

// Fields --------------------------------------------------------------------------------------------------

export function field(label, control, { hint, pointer } = {}) {
  control.id ||= freshId("field");
  const described = [];
  const hintLine = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  if (hint) described.push(`${control.id}-hint`);
  const fault = h("p", { class: "fault", id: `${control.id}-fault`, hidden: true });
  described.push(`${control.id}-fault`);
  control.setAttribute("aria-describedby", described.join(" "));
  const box = h("div", { class: "field", "data-pointer": pointer || "" }, h("label", { for: control.id }, label), control, hintLine, fault);
  return box;
}

export const input = (attributes) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
export const area = (attributes) => h("textarea", { rows: 4, spellcheck: "false", class: "mono", ...attributes });
export const choice = (options, value, attributes = {}) =>
  h("select", attributes, options.map((option) => {
    const [held, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: held, selected: held === value }, text);
  }));
export const tick = (label, checked = false, attributes = {}) => {
  const box = h("input", { type: "checkbox", checked, ...attributes });
  return { box, element: h("label", { class: "tick" }, box, h("span", {}, label)) };
};

export function ticks(label, options, chosen, hint) {
  const boxes = options.map((option) => tick(option, chosen.includes(option)));
  const element = h("fieldset", { class: "field" }, h("legend", {}, label), hint && h("p", { class: "hint" }, hint),
    h("div", { class: "ticks" }, boxes.map((one) => one.element)), h("p", { class: "fault", hidden: true }));
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
  form.prepend(Object.assign(problem({ ...error, title: error.title, message: error.message, errors: rest, status: error.status, correlationId: "" }), { className: "notice bad faults" }));
  (form.querySelector("[aria-invalid]") || form.querySelector("input, select, textarea"))?.focus();
}

function clearFaults(form) {
  form.querySelectorAll(".faults").forEach((one) => one.remove());
  form.querySelectorAll(".fault").forEach((one) => Object.assign(one, { hidden: true, textContent: "" }));
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
}

export function form(children, label, act, { kind = "primary", beside = [], attributes = {} } = {}) {
  const submit = h("button", { type: "submit", class: kind }, label);
  const made = h("form", { novalidate: true, ...attributes }, children, h("div", { class: "actions" }, submit, beside));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled") === "true") return;
    submit.setAttribute("aria-disabled", "true");
    clearFaults(made);
    try {
      await act(made);
    } catch (error) {
      if (error.status === undefined && !error.isInput) console.error(error);
      showFaults(made, error);
    } finally {
      submit.removeAttribute("aria-disabled");
    }
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
  const heading = h("h2", { id: freshId("dialog"), tabindex: "-1" }, title);
  const body = h("div", { class: "dialog-body" }, children);
  const box = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": heading.id },
    h("div", { class: "dialog-head" }, heading, button("✕", () => box.close(), { kind: "quiet icon", name: "Close" })), body);
  box.addEventListener("close", () => {
    box.remove();
    onclose?.();
  });
  box.body = body;
  document.body.append(box);
  box.showModal();
  const first = body.querySelector("input:not([readonly]), textarea, select");
  (first || heading).focus();
  return box;
}

// Asks before something that cannot be undone, or reaches many. `typed` has to be typed in first.
export function confirm(title, text, label, { danger = false, typed } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const proof = typed && input({});
    const ask = form([h("p", {}, text), proof && field(`Type ${typed} to go on`, proof, { pointer: "/typed" })], label, () => {
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
      ? [notice("wait", h("p", {}, h("strong", {}, "Shown this once."), " ", text)), copyable(secret)]
      : notice("bad", h("p", {}, "It was made, but its answer was lost on the way, and it cannot be shown again. Make another.")),
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
