// Each flow and each connector at a glance.

import { get, path, post } from "./api.js";
import { age, badge, button, connectorName, empty, faint, flowName, h, number, part, plural, put, say, section, strong, sure, svg, table, when } from "./dom.js";

const EVERY = 30_000;

export async function view(root, { isAdmin }) {
  const overview = part(async () => shown(await get("/overview")), { lines: 8 });
  const queued = isAdmin && part(queues);
  const renew = () => Promise.all([overview.reload(true), queued && queued.reload(true)]);
  put(root, h("p.view-actions", button("Refresh", renew)), overview, queued && section("Queues", queued));
  const timer = setInterval(() => {
    if (!root.isConnected) clearInterval(timer);
    // Nothing is taken away from under a person's focus, or an open question.
    else if (!document.hidden && !document.querySelector("dialog, .part :focus")) renew();
  }, EVERY);
  await overview.ready;

  async function queues() {
    const { items } = await get("/queues");
    const sorted = items.toSorted((a, b) => b.deadLetters - a.deadLetters || a.queue.localeCompare(b.queue));
    return table("Queues", [
      ["Queue", (one) => one.queue],
      ["Waiting", (one) => number(one.waiting), "num"],
      ["In flight", (one) => number(one.inFlight), "num"],
      ["Dead letters", (one) => (one.deadLetters ? badge("failed", number(one.deadLetters)) : number(0)), "num"],
      ["", (one) => one.deadLetters > 0 && button("Redrive…", sure(`Redrive ${one.queue}?`,
        `${plural(one.deadLetters, "message goes", "messages go")} back to work. Do this once the cause is mended.`, "Redrive", async () => {
          const done = await post(path`/queues/${one.queue}/redrive`);
          say(`${number(done.moved)} back to work, ${number(done.dropped)} needed no more, ${number(done.left)} left${done.unreadable ? `, ${number(done.unreadable)} of them unreadable` : ""}`);
          await renew();
        }), { name: `Redrive ${one.queue}` }), "end"],
    ], sorted);
  }
}

function shown({ at, flows, connectors, nowIsMinimum }) {
  const sum = (pick) => flows.reduce((total, flow) => total + (pick(flow) || 0), 0);
  const oldest = flows.map((flow) => flow.now.oldestAt).filter(Boolean).sort()[0];
  const failed = sum((flow) => flow.now.failed), retrying = sum((flow) => flow.now.retrying);
  return [
    h("dl.tiles",
      tile("Accepted, 24 h", number(sum((flow) => flow.last24Hours.accepted))),
      tile("Done, 24 h", number(sum((flow) => flow.last24Hours.done))),
      tile("Retrying now", number(retrying), retrying ? "wait" : ""),
      tile("Failed, to be put right", failed ? h("a", { href: "#/failures" }, number(failed)) : number(0), failed ? "bad" : ""),
      tile("Oldest that waits", oldest ? age(oldest).text : "–")),
    section("Flows", flows.length
      ? [table("Flows", [
          ["Flow", (flow) => strong(flowName(flow.flow))],
          ["Last 24 hours", (flow) => chart(flow), "wide"],
          ["Accepted", (flow) => number(flow.last24Hours.accepted), "num"],
          ["Done", (flow) => number(flow.last24Hours.done), "num"],
          ["Waiting", (flow) => quietZero(flow.now.waiting), "num"],
          ["Retrying", (flow) => (flow.now.retrying ? badge("retrying", number(flow.now.retrying)) : quietZero(0)), "num"],
          ["Failed", (flow) => (flow.now.failed ? badge("failed", number(flow.now.failed)) : quietZero(0)), "num"],
          ["Oldest", (flow) => flow.now.oldestAt && h("time", { datetime: flow.now.oldestAt }, age(flow.now.oldestAt).text), "num"],
        ], flows), h("p.legend.faint",
          h("span.key.done"), "accepted an hour", h("span.key.failed"), "failed")]
      : empty("Nothing has come in yet.", "Each flow is shown here with its first piece of work.")),
    connectors?.length > 0 && section("Connectors", table("Connectors", [
      ["Connector", (one) => strong(connectorName(one.connector))],
      ["State", breaker],
      ["Breaker", (one) => (!one.configured ? faint("its secret is empty; work for it waits") : one.breaker === "closed" ? faint("closed")
        : [one.breaker, one.openSince && [" since ", when(one.openSince)], one.nextProbeAt && [", next probe ", when(one.nextProbeAt)]]), "wide"],
      ["Held back", (one) => quietZero(one.held), "num"],
    ], connectors)),
    h("p.faint", "As of ", when(at, false), "; renewed each half minute.", nowIsMinimum && " So much is open that only a part of it was counted."),
  ];
}

const quietZero = (value) => (value ? number(value) : faint("0"));
const tile = (name, value, look = "") => h("div", { class: `tile ${look}` }, h("dt", name), h("dd", value));

const breaker = (one) => (!one.configured ? badge("off", "Not configured")
  : one.breaker === "closed" ? badge("closed", "Working")
  : one.breaker === "open" ? badge("open", "Away") : badge("half-open", "Being probed"));

// One bar an hour: what was accepted, and over it what failed.
function chart({ flow, hours }) {
  const tall = 28, step = 7;
  const most = Math.max(1, ...hours.map((hour) => Math.max(hour.accepted, hour.failed)));
  const bar = (look, i, value, title) => {
    const height = value ? Math.max(2, (value / most) * tall) : 0;
    return svg("rect", { class: look, x: i * step, y: tall - height, width: step - 2, height, rx: 1 }, title && svg("title", {}, title));
  };
  const total = (name) => hours.reduce((sum, hour) => sum + hour[name], 0);
  const label = `${flowName(flow)}, last 24 hours: ${number(total("accepted"))} accepted, ${number(total("done"))} done, ${number(total("failed"))} failed; at most ${number(most)} an hour`;
  return svg("svg", { class: "chart", viewBox: `0 0 ${24 * step} ${tall + 1}`, width: 24 * step, height: tall + 1, role: "img", "aria-label": label },
    svg("line", { x1: 0, x2: 24 * step - 2, y1: tall + 0.5, y2: tall + 0.5, class: "axis" }),
    hours.map((hour, i) => {
      const at = new Date(hour.at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
      return [bar("done", i, hour.accepted, `${at}: ${number(hour.accepted)} accepted, ${number(hour.failed)} failed`), bar("failed", i, hour.failed)];
    }));
}
