// Who is here, what the key opens, and which view is shown. Each view is a module, loaded when it is opened.

import { dropKey, get, hasKey, keepKey } from "./api.js";
import { button, empty, field, form, h, input, loading, problem, put, wrong } from "./dom.js";

const VIEWS = [
  { name: "overview", title: "Overview", scopes: ["ledger:read"] },
  { name: "failures", title: "Failures", scopes: ["ledger:read"] },
  { name: "triggers", title: "Triggers", scopes: ["triggers:read"] },
  { name: "customer", title: "Customer", scopes: ["crm:read", "ledger:read"] },
  { name: "surveys", title: "Surveys", scopes: ["surveys:read"] },
  { name: "settings", title: "Settings", scopes: ["admin"] },
  { name: "partners", title: "Partners", scopes: ["admin"] },
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let me = null;
let turn = 0;

const isRefused = (error) => [401, 403].includes(error.status);
const isAdmin = () => me.scopes.includes("admin");
const may = (...scopes) => isAdmin() || scopes.some((scope) => me.scopes.includes(scope));

function signIn(said) {
  me = null;
  document.title = "Sign in · Switchboard";
  put(nav);
  put(document.getElementById("who"));
  const key = input({ type: "password", name: "key", autocomplete: "off", required: true });
  const ask = form(
    [
      h("h1", "Switchboard"),
      said && h("p.notice.wait", { role: "alert" }, said),
      field("API key", key, "/key", "It stays in this tab, and is gone when the tab is closed."),
    ],
    "Open the console",
    async () => {
      if (!/^[!-~]+$/.test(key.value.trim())) throw wrong("A key has letters, digits and signs, no spaces.", "/key");
      keepKey(key.value.trim());
      try {
        await start();
      } catch (error) {
        dropKey();
        throw Object.assign(error, isRefused(error) ? { title: "Refused", message: "The API does not know this key." } : {});
      }
    },
    { class: "sign-in" },
  );
  put(main, ask);
  key.focus();
}

function signOut(said) {
  dropKey();
  turn += 1;
  document.querySelectorAll("dialog").forEach((one) => one.close());
  signIn(said);
}

async function start() {
  const found = await get("/me");
  me = found;
  put(document.getElementById("who"),
    h("span", { title: me.partnerId }, me.name || me.partnerId),
    button("Sign out", () => signOut(), { kind: "quiet" }));
  put(nav, h("ul", VIEWS.filter((view) => may(...view.scopes)).map((view) =>
    h("li", h("a", { href: `#/${view.name}`, "data-view": view.name }, view.title)))));
  await show();
}

async function show() {
  if (!me) return;
  const mine = (turn += 1);
  const allowed = VIEWS.filter((view) => may(...view.scopes));
  if (!allowed.length) {
    put(main, h("h1", "Nothing to see"), empty("This key opens none of the views.", `Its scopes: ${me.scopes.join(", ") || "none"}.`));
    return;
  }
  const [name, ...rest] = location.hash.replace(/^#\//, "").split("/").map(decode);
  const view = allowed.find((one) => one.name === name) || allowed[0];
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.title} · Switchboard`;
  const root = h("div.view");
  put(main, h("h1", { tabindex: "-1" }, view.title), root);
  put(root, loading(4));
  try {
    const module = await import(`./${view.name}.js`);
    if (mine !== turn) return;
    await module.view(root, { me, may, isAdmin: isAdmin(), rest: rest.filter(Boolean) });
  } catch (error) {
    if (mine === turn) put(root, problem(error));
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

window.addEventListener("hashchange", async () => {
  if (location.hash === "#main") return;
  document.querySelectorAll("dialog").forEach((one) => one.close());
  await show();
  if (!document.querySelector("dialog")) main.querySelector("h1")?.focus();
});
// A call was refused: was it the call, or is it the key?
document.addEventListener("refused", () => me && get("/me").catch((error) => isRefused(error) && me && signOut("The key is not valid any more.")));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

if (hasKey()) {
  put(main, loading(4));
  start().catch((error) => (isRefused(error) ? signOut("Type the key again.") : put(main, problem(error))));
} else {
  signIn();
}
