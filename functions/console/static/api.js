// The public API, called as any script would call it: a key, JSON, problem+json.

const BASE = new URL("../", import.meta.url); // …/v1/
const KEPT = "switchboard.key";

// A POST whose answer was lost, or is still being made, keeps its Idempotency-Key: pressing the button again does
// nothing twice.
const unanswered = new Map();

class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || body.message || `The API answered ${status}.`);
    this.status = status;
    this.title = body.title || "";
    this.errors = body.errors || [];
    this.correlationId = body.correlationId || "";
  }
  // What is not there, or this key may not see: no reason for alarm.
  get isAbsent() {
    return [403, 404].includes(this.status);
  }
}

export const hasKey = () => sessionStorage.getItem(KEPT) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEPT, key);
export const dropKey = () => sessionStorage.removeItem(KEPT);

export const path = (strings, ...ids) =>
  strings.reduce((whole, part, i) => whole + encodeURIComponent(ids[i - 1]) + part);

export async function call(method, where, { query = {}, body } = {}) {
  const url = new URL(where.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const headers = { "x-api-key": sessionStorage.getItem(KEPT) || "", accept: "application/json" };
  const text = body === undefined ? undefined : JSON.stringify(body);
  if (text !== undefined) headers["content-type"] = "application/json";
  const same = `${method} ${url} ${text}`;
  if (method === "POST") {
    if (!unanswered.has(same)) unanswered.set(same, fresh());
    headers["idempotency-key"] = unanswered.get(same);
  }
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: text, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Problem(0, { title: "No connection", detail: "The API could not be reached. Try again." });
  }
  const read = parse(await answer.text());
  if (answer.status < 500 && read?.code !== "in-progress") unanswered.delete(same);
  if (answer.ok) return read;
  if ([401, 403].includes(answer.status) && where !== "/me") document.dispatchEvent(new CustomEvent("refused"));
  throw new Problem(answer.status, read || {});
}

function fresh() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function parse(content) {
  try {
    return content ? JSON.parse(content) : null;
  } catch {
    return null;
  }
}

export const get = (where, query) => call("GET", where, { query });
export const post = (where, body) => call("POST", where, { body });

// Every item of a short list: partners, triggers. Stops at 500.
export async function all(where) {
  const items = [];
  let cursor;
  do {
    const page = await get(where, { limit: 100, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < 500);
  return items;
}
