// CRM triggers: the grid of events, each trigger with its health and its deliveries.

import { all, call, get, path, post } from "./api.js";
import { area, badge, button, choice, code, dialog, empty, facts, faint, field, follow, form, h, input, notice, number, pages, part, plural, put, readJson, say, secretOnce, section, strong, sure, table, tick, when, words, wrong } from "./dom.js";

const OBJECTS = ["customer", "case", "followup", "task"];
const EVENTS = ["create", "edit", "delete"];
const KEEP = "Keep it where the receiver checks signatures.";
const WHY = { gone: "It answered 410, gone.", failing: "Every call failed for five days." };
const fits = (trigger, object, event) => [object, "*"].includes(trigger.object) && [event, "*"].includes(trigger.event);
const exists = (object, event) => !(object === "followup" && event === "edit");
const any = (name) => (name === "*" ? "any" : name);

export async function view(root, context) {
  const [id] = context.rest;
  await (id ? one(root, id, context) : list(root, context));
}

// the grid ------------------------------------------------------------------------------------------------

async function list(root, { may }) {
  const writes = may("triggers:write");
  const content = part(async () => {
    const triggers = await all("/triggers");
    return [
      grid(triggers, writes, () => content.reload(true)),
      section("URLs", triggers.length ? table("Triggers", [
        ["Event", (one) => h("a", { href: `#/triggers/${one.triggerId}` }, `${any(one.object)} · ${any(one.event)}`)],
        ["URL", (one) => h("span.mono.break", one.url), "wide"],
        ["Format", (one) => one.format],
        ["State", state],
        ["Description", (one) => one.description],
      ], triggers) : empty("No URL is called yet.", writes ? "Choose an event in the grid above to have a URL called for it." : "")),
    ];
  }, { lines: 6 });
  put(root, h("p", "A URL is called when a record of the CRM is created, edited or deleted. It is told the ids only, and reads the record with the CRM API."), content);
  await content.ready;
}

function grid(triggers, writes, changed) {
  const cell = (object, event) => {
    if (!exists(object, event)) return h("td.none", h("span.faint", "never edited"));
    const here = triggers.filter((trigger) => fits(trigger, object, event));
    const ill = here.filter((trigger) => trigger.status !== "active" || trigger.warning).length;
    return h("td", h("div.cell",
      here.length ? badge(ill ? "retrying" : "active", ill ? `${ill} of ${here.length} failing` : plural(here.length, "URL")) : faint("none"),
      writes && button("+ Add", () => create(object, event, changed), { kind: "quiet small", name: `Add a URL for ${object} ${event}` })));
  };
  return h("table.grid",
    h("caption.visually-hidden", "URLs by record and event"),
    h("thead", h("tr", h("td"), EVENTS.map((event) => h("th", { scope: "col" }, words(event))))),
    h("tbody", OBJECTS.map((object) => h("tr", h("th", { scope: "row" }, words(object)), EVENTS.map((event) => cell(object, event))))));
}

const state = (one) => (one.warning && one.status === "active"
  ? badge("retrying", "Failing") : badge(one.status));

function fields(trigger = {}) {
  const made = {
    url: input({ type: "url", value: trigger.url || "", placeholder: "https://" }),
    object: choice([...OBJECTS, ["*", "any"]], trigger.object),
    event: choice([...EVENTS, ["*", "any"]], trigger.event),
    format: choice([["query", "query: ids as parameters of the URL"], ["webhook", "webhook: JSON, signed with a shared secret"], ["v1a", "webhook: JSON, signed with a key pair"]]),
    method: choice(["GET", "POST"], trigger.method || "GET"),
    where: area({ rows: 3, value: Object.keys(trigger.where || {}).length ? JSON.stringify(trigger.where, null, 2) : "" }),
    ordered: tick("In order: of each customer one event after the other", trigger.ordered),
    description: input({ value: trigger.description || "", maxlength: 500 }),
    maxPerSecond: input({ type: "number", min: "0", step: "any", value: trigger.maxPerSecond ?? "" }),
  };
  const method = field("Method", made.method, "/method");
  const follows = () => {
    made.method.disabled = (trigger.format || made.format.value) !== "query";
    if (made.method.disabled) made.method.value = "POST";
  };
  made.format.addEventListener("change", follows);
  follows();
  const elements = [
    field("URL", made.url, "/url"),
    h("div.row", field("Record", made.object, "/object"), field("Event", made.event, "/event")),
    h("div.row", !trigger.triggerId && field("Format", made.format, "/format"), method),
    field("Description", made.description, "/description"),
    h("details", { open: Boolean(trigger.maxPerSecond || trigger.ordered || made.where.value) }, h("summary", "Filter, order and pace"),
      field("Filter", made.where, "/where", 'JSON, e.g. {"priority": {"$in": ["high", "urgent"]}}. Empty: every event.'),
      made.ordered.element,
      field("At most so many calls a second", made.maxPerSecond, "/maxPerSecond")),
  ];
  const read = () => {
    const pace = made.maxPerSecond.value.trim();
    const body = {
      url: made.url.value.trim(), object: made.object.value, event: made.event.value,
      method: made.method.value, where: readJson(made.where.value, "/where") || {}, ordered: made.ordered.box.checked,
      description: made.description.value.trim() || null, maxPerSecond: pace ? Number(pace) : null,
    };
    if (!body.url) throw wrong("A URL is needed.", "/url");
    if (trigger.triggerId) return body;
    return made.format.value === "v1a" ? { ...body, format: "webhook", signature: "v1a" } : { ...body, format: made.format.value };
  };
  return { elements, read };
}

function create(object, event, changed) {
  const { elements, read } = fields({ object, event });
  const box = dialog("Call a URL", form(elements, "Save", async () => {
    const made = await post("/triggers", read());
    box.close();
    say("The URL is called from now on");
    await changed();
    if (made.format === "webhook" && !made.publicKey) secretOnce("The webhook's secret", KEEP, made.secret);
    else location.hash = `#/triggers/${made.triggerId}`;
  }));
}

// one trigger ---------------------------------------------------------------------------------------------

async function one(root, id, { may }) {
  const writes = may("triggers:write");
  const here = path`/triggers/${id}`;
  let deliveries;
  const isMade = async (deliveryId, what) => {
    await deliveries.reload(true);
    const done = await follow(root, () => get(path`/deliveries/${deliveryId}`).catch((error) => {
      if (error.status === 404) return { status: "pending" }; // a test is written down by its first attempt
      throw error;
    }), (found) => found.status !== "pending", { seconds: 30, every: 700 });
    say(`${what}: ${done.status}`, done.status === "delivered" ? "good" : "bad");
    await deliveries.reload(true);
  };
  const content = part(async () => {
    const trigger = await get(here);
    return [
      h("div.card-head", h("h2.break", `${words(any(trigger.object))} · ${any(trigger.event)}`), state(trigger)),
      trigger.status === "disabled" && notice("bad", h("p", strong("Disabled. "), WHY[trigger.disabledReason] || trigger.disabledReason, " Its URL is not called; events are kept as skipped and can be recovered.")),
      trigger.warning && trigger.status === "active" && notice("wait", h("p", "Every call has failed since ", when(trigger.warning.failingSince, false), `. ${trigger.warning.perCent} % of the way: it is disabled `, when(trigger.warning.disablesAt), " if that goes on.")),
      facts([
        ["URL", h("span.mono.break", trigger.url)],
        ["Format", `${trigger.format}, ${trigger.method}`],
        ["Description", trigger.description],
        ["Filter", Object.keys(trigger.where).length ? code(JSON.stringify(trigger.where)) : null],
        ["Order", trigger.ordered ? "one after the other, by customer" : null],
        ["Pace", trigger.maxPerSecond ? `at most ${trigger.maxPerSecond} a second` : null],
        ["Public key", code(trigger.publicKey)],
        ["Made", when(trigger.createdAt, false)],
      ]),
      writes && h("div.actions",
        button("Send a test", async () => {
          const { deliveryId } = await post(`${here}/test`);
          say("The test is on its way");
          await isMade(deliveryId, "Test");
        }, { kind: "primary" }),
        trigger.status === "disabled" && button("Enable", async () => {
          await post(`${here}/enable`);
          say("Enabled");
          await content.reload(true);
        }),
        button("Change…", () => change(trigger, () => content.reload(true))),
        trigger.format === "webhook" && button("New secret…", () => rotate(trigger, () => content.reload(true))),
        button("Recover a range…", () => recover(trigger, () => deliveries.reload(true))),
        button("Delete…", sure("Delete this trigger?", `${trigger.url} is called no more. This cannot be undone.`, "Delete", async () => {
          await call("DELETE", here);
          say("Deleted");
          location.hash = "#/triggers";
        }, { danger: true }), { kind: "danger quiet" })),
    ];
  }, { lines: 5, absent: "There is no such trigger, or it is not yours.", look: "card" });
  const status = choice([["", "every status"], "pending", "delivered", "retrying", "failed", "skipped"], "");
  deliveries = part(() => pages(`${here}/deliveries`, (items) => table("Deliveries", [
    ["Event", (found) => [strong(found.type), h("br"), faint(found.eventId)]],
    ["Status", (found) => badge(found.status)],
    ["Attempts", attempts, "wide"],
    ["Next", (found) => when(found.nextAttemptAt)],
    ["Came in", (found) => when(found.createdAt)],
    ["", (found) => writes && button("Retry", async () => {
      await post(path`/deliveries/${found.deliveryId}/retry`);
      say("It is called again");
      await isMade(found.deliveryId, "Retry");
    }, { kind: "small", name: `Retry delivery of ${found.eventId}` }), "end"],
  ], items), empty("No call yet.", "Each call is listed here with its attempts, for 90 days."), { status: status.value }));
  status.addEventListener("change", () => deliveries.reload());
  put(root, h("p", h("a", { href: "#/triggers" }, "← All triggers")), content,
    section("Deliveries",
      h("div.filters", h("label", "Show ", status), button("Refresh", () => deliveries.reload(true))), deliveries));
  await content.ready;
}

function attempts(found) {
  if (!found.attempts.length) return faint("none yet");
  return h("details",
    h("summary", plural(found.attempts.length, "attempt"), ", last: ", outcome(found.attempts.at(-1))),
    h("ol.history", found.attempts.map((each) => h("li", when(each.at, false), " ", outcome(each), faint(` ${number(each.durationMs)} ms`)))),
    found.answer && h("pre", { tabindex: "0" }, found.answer));
}

// "503" says more than "503 status"; a call without an answer has a class alone.
const outcome = (each) => String(each.statusCode ?? each.errorClass ?? "no answer");

function change(trigger, changed) {
  const { elements, read } = fields(trigger);
  const box = dialog("Change the trigger", form(elements, "Save", async () => {
    await call("PATCH", path`/triggers/${trigger.triggerId}`, { body: read() });
    box.close();
    say("Saved");
    await changed();
  }));
}

function rotate(trigger, changed) {
  const hours = input({ type: "number", min: "0", max: "720", value: "24" });
  const box = dialog("A new secret", form([
    field("The present secret still signs for so many hours", hours, "/overlapHours", "Both sign meanwhile; 0 ends the present one at once."),
  ], "Make a new secret", async () => {
    if (!hours.value) throw wrong("A number of hours is needed.", "/overlapHours");
    const made = await post(path`/triggers/${trigger.triggerId}/rotate-secret`, { overlapHours: Number(hours.value) });
    box.close();
    await changed();
    if (made.publicKey) say("It has a new key pair: hand out the public key below");
    else secretOnce("The webhook's new secret", KEEP, made.secret);
  }));
}

function recover(trigger, changed) {
  const local = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  const since = input({ type: "datetime-local", value: local(new Date(Date.now() - 86_400_000)) });
  const until = input({ type: "datetime-local" });
  const box = dialog("Recover a range", form([
    h("p", "Events of this time that failed or were skipped are delivered again, the oldest first, at most ten a second."),
    h("div.row", field("From (your time)", since, "/since"), field("To", until, "/until", "Empty: up to now.")),
  ], "Recover", async () => {
    if (!since.value) throw wrong("A time is needed.", "/since");
    const time = (box) => (box.value ? new Date(box.value).toISOString() : undefined);
    await post(path`/triggers/${trigger.triggerId}/recover`, { since: time(since), until: time(until) });
    box.close();
    say("The range is being put back to work");
    await changed();
  }));
}
