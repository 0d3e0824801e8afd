// Surveys: what invites, who was invited, and the dumps with their counts and files.

import { get, path, post } from "./api.js";
import { badge, button, choice, code, customerLink, empty, facts, faint, field, follow, form, h, input, notice, number, pages, part, plural, put, say, section, strong, sure, table, tick, when, wrong } from "./dom.js";

export async function view(root, context) {
  const [id] = context.rest;
  await (id ? one(root, id, context) : list(root, context));
}

const SENT_BY = { caller: "its caller", crm: "the CRM", mail: "us, by mail" };
const open = (id) => { location.hash = `#/surveys/${encodeURIComponent(id)}`; };

async function list(root, { isAdmin }) {
  const id = input({ name: "survey" });
  const ask = form([field("Survey id", id, "/id", "As the survey system has it.")], "Open", () => {
    if (!/^[\w-]{1,64}$/.test(id.value.trim())) throw wrong("Letters, digits, - and _ only.", "/id");
    open(id.value.trim());
  }, { class: "search" });
  const configured = isAdmin && part(async () => {
    const { settings } = await get("/settings/surveys");
    const surveys = Object.entries(settings.surveys || {});
    return surveys.length ? table("Surveys", [
      ["Survey", ([key, survey]) => h("a", { href: `#/surveys/${encodeURIComponent(key)}` }, survey.name || key)],
      ["Id", ([key]) => code(key)],
      ["Rules", ([, survey]) => number(survey.rules.length), "num"],
      ["Dumped", ([, survey]) => (survey.schedule ? code(survey.schedule.expression) : faint("by call"))],
      ["Reminders", ([, survey]) => `at most ${survey.reminders.max}`],
    ], surveys) : empty("No survey is configured.", "Settings, area surveys: each survey's rules, schedule and reminders.");
  });
  put(root, ask, configured && section("Configured", configured));
  await configured?.ready;
}

async function one(root, id, { may, isAdmin }) {
  const writes = may("surveys:write");
  const here = path`/surveys/${id}`;
  const rules = isAdmin && part(async () => {
    const survey = (await get("/settings/surveys")).settings.surveys?.[id];
    if (!survey) return h("p.faint", "Not configured: nobody is invited by a rule, and dumps run by call only. ", h("a", { href: "#/settings/surveys" }, "Settings"));
    return [
      facts([
        ["Name", survey.name], ["Dumped", survey.schedule && [code(survey.schedule.expression), ` ${survey.schedule.timeZone}`]],
        ["Reminders", `at most ${survey.reminders.max}${survey.reminders.afterDays ? `, ${survey.reminders.afterDays} days apart` : ", by call"}`],
        ["An invitation is open for", plural(survey.expiresDays, "day")],
      ]),
      survey.rules.length ? table("Rules", [
        ["When", (rule) => strong(`${rule.object} ${rule.event}`)],
        ["And", (rule) => (Object.keys(rule.where).length ? code(JSON.stringify(rule.where)) : faint("always")), "wide"],
        ["Sends along", (rule) => Object.keys(rule.parameters).join(", ")],
        ["Cool-down", (rule) => rule.cooldownDays && plural(rule.cooldownDays, "day")],
        ["Share", (rule) => `${Math.round(rule.samplingRate * 100)} %`, "num"],
      ], survey.rules) : h("p.faint", "No rule: people are invited by the API only."),
      h("p", h("a", { href: "#/settings/surveys" }, "Change in the settings")),
    ];
  });

  const status = choice([["", "every status"], "issued", "reminded", "responded", "expired"], "");
  const invitations = part(() => pages(`${here}/invitations`, (items) => table("Invitations", [
    ["E-mail", (each) => each.email],
    ["Status", (each) => badge(each.status)],
    ["Customer", (each) => customerLink(each.customerId)],
    ["URL sent by", (each) => SENT_BY[each.delivery]],
    ["Invited", (each) => when(each.createdAt)],
    ["Reminders", (each) => number(each.reminders), "num"],
    ["Answered", (each) => when(each.respondedAt)],
  ], items), empty("Nobody.", "Invitations come from rules or from the API."), { status: status.value }));
  status.addEventListener("change", () => invitations.reload());

  const dumps = part(() => pages(`${here}/dumps`, (items) => h("ul.stack", items.map(dump)), empty("No dump yet.", "A dump exports every new response into files and into the CRM.")));
  const full = tick("Everything once more, not only what is new");

  put(root, h("p", h("a", { href: "#/surveys" }, "← All surveys")), h("h2.title", "Survey ", code(id)),
    rules && section("Rules", rules),
    section("Invitations", h("div.filters", h("label", "Show ", status),
      writes && button("Remind now…", sure("Remind everybody who has not answered?", "Once each, as far as the survey's limit allows.", "Remind", async () => {
        const { count } = await post(`${here}/reminders`);
        say(count ? `${plural(count, "person is", "people are")} reminded` : "Nobody is left to remind");
        await invitations.reload(true);
      })), button("Refresh", () => invitations.reload(true))), invitations),
    section("Dumps", writes && h("div.filters",
      button("Dump now", async () => {
        const { dumpId } = await post(`${here}/dumps`, { full: full.box.checked });
        say("The dump is running");
        await dumps.reload(true);
        const last = await follow(root, async () => {
          await dumps.reload(true);
          return get(here + path`/dumps/${dumpId}`);
        }, (now) => now.status !== "running", { seconds: 300, every: 2500 });
        await dumps.reload(true);
        say(`Dump: ${last.status}`, last.status === "failed" ? "bad" : "good");
      }, { kind: "primary" }), full.element), dumps));
  await Promise.all([rules?.ready, invitations.ready, dumps.ready]);
}

function dump(each) {
  const check = each.countCheck;
  return h("li.card",
    h("div.card-head", h("h3", when(each.startedAt, false), each.full ? " · full" : ""), badge(each.status)),
    each.status === "running" && h("progress", { "aria-label": "The dump is running" }),
    each.error && notice("bad", h("p", each.code && [code(each.code), " "], each.error, each.action && [" ", each.action])),
    facts([
      ["Rows", number(each.rows)], ["Imported", number(each.imported)],
      ["Without a customer", each.unmatched ? badge("retrying", number(each.unmatched)) : number(0)],
      ["Count check", check && (check.agrees ? badge("complete", `agrees: ${number(check.ours)}`) : badge("failed", `the survey has ${number(check.survey)}, the dumps ${number(check.ours)}`))],
    ]),
    each.files.length > 0 && h("p.actions", each.files.map((file) => link(file.url, `${file.format} · ${plural(file.rows, "row")}`)), each.manifest && link(each.manifest, "manifest")));
}

const link = (url, text) => (/^https?:\/\//.test(url) ? h("a", { href: url, class: "button", rel: "noopener noreferrer", target: "_blank", download: "" }, "↓ ", text) : null);
