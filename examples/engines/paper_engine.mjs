// A trading engine of your own, in JavaScript: a small paper broker without packages, for Node 18 or newer.
// Copy it, and put your broker where the paper is.
//
//   engine:
//     kind: command
//     command:
//       argv: [node, paper_engine.mjs, paper_orders.json]
//       is_paper: true
//
// The agent writes one JSON document a line to stdin and reads one from stdout; stderr (console.error) goes to its
// log, so never use console.log for anything else. An order id is one order, for ever: it is on disk before the
// answer is given. `lookup` says null only when the order surely never came. When stdin ends, end.
//
// Numbers are text both ways. They become whole hundred-millionths (BigInt) here: 0.1 + 0.2 is no 0.3 in JavaScript.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

const FILE = process.argv[2] ?? "paper_orders.json";
const PLACES = 8;
const ONE = 10n ** BigInt(PLACES);
const HELLO = {
  name: "paper_engine.mjs",
  version: "1",
  is_paper: true,
  // What you do not declare, you are not asked for. `brackets`: we hold an entry's stop and target ourselves.
  capabilities: {
    brackets: true,
    cancels: true,
    limits: true,
    stop_orders: true,
    shorts: true,
    events: true,
    idempotent: true,
    marks_positions: true,
    times_in_force: ["day", "gtc"],
  },
};

class Failed extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Numbers: "12.5" <-> 1250000000n.

function units(text) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(text));
  if (!match || (match[3] ?? "").replace(/0+$/, "").length > PLACES) throw new Failed("number", `${text} is no number here`);
  const value = BigInt(match[2]) * ONE + BigInt((match[3] ?? "").padEnd(PLACES, "0").slice(0, PLACES));
  return match[1] ? -value : value;
}

function text(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(PLACES + 1, "0");
  const whole = digits.slice(0, -PLACES);
  const rest = digits.slice(-PLACES).replace(/0+$/, "");
  return (value < 0n ? "-" : "") + whole + (rest ? `.${rest}` : "");
}

const times = (quantity, price) => (quantity * price) / ONE;
const size = (value) => (value < 0n ? -value : value);
const least = (a, b) => (a < b ? a : b);
const most = (a, b) => (a > b ? a : b);

// What the paper knows, all of it in one file: written and flushed before an answer is given.

let saved = existsSync(FILE)
  ? readFileSync(FILE, "utf8")
  : JSON.stringify({ cash: "10000", orders: {}, positions: {}, prices: {} });
let state = JSON.parse(saved);
let news = [];

function save() {
  const now = JSON.stringify(state);
  if (now === saved) return;
  const file = openSync(`${FILE}.new`, "w", 0o600);
  writeSync(file, now);
  fsyncSync(file);
  closeSync(file);
  renameSync(`${FILE}.new`, FILE);
  saved = now;
}

const known = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);
const orders = () => Object.values(state.orders);
const isWorking = (order) => order.state === "ACCEPTED" || order.state === "PARTLY_FILLED";
const sign = (order) => (order.side === "buy" ? 1n : -1n);
const held = (ticker) => units(known(state.positions, ticker)?.quantity ?? "0");
const last = (ticker) => units(state.prices[ticker].price);

// What the agent asks.

const OPERATIONS = {
  hello: () => HELLO,
  health: () => ({}),

  submit({ order: asked }) {
    const before = known(state.orders, asked.order_id);
    if (before) return outcome(before);
    const order = { ...asked, state: "ACCEPTED", filled_quantity: "0", average_price: null, reason: "", legs: [] };
    state.orders[order.order_id] = order;
    if (order.reference_price && order.reference_price_at) see(order.ticker, order.reference_price, order.reference_price_at);
    order.reason = objection(order);
    if (order.reason) order.state = "REJECTED";
    else if (reaches(order, last(order.ticker))) fill(order, last(order.ticker));
    return outcome(order);
  },

  lookup({ order_id }) {
    const order = known(state.orders, order_id);
    return order ? outcome(order) : null;
  },

  cancel({ order_id }) {
    const order = known(state.orders, order_id);
    if (!order) return null;
    for (const each of [order, ...order.legs]) if (isWorking(each)) each.state = "CANCELLED";
    return outcome(order);
  },

  account() {
    let equity = units(state.cash);
    for (const ticker of Object.keys(state.positions)) equity += times(held(ticker), last(ticker));
    return { cash: state.cash, equity: text(equity), is_blocked: false };
  },

  positions: () =>
    Object.entries(state.positions).map(([ticker, each]) => ({ ticker, ...each, last_price: text(last(ticker)) })),

  orders: () =>
    orders().flatMap((order) => [
      ...(isWorking(order) ? [row(order, order, order)] : []),
      ...order.legs.filter(isWorking).map((leg) => row(leg, order, closing(leg, order))),
    ]),

  // A price that the agent saw: it may fill what waits. The answer names the orders that are worth a look now.
  observe({ ticker, price, at }) {
    if (!see(ticker, price, at)) return [];
    const changed = orders().filter((order) => order.ticker === ticker && moved(order, units(price)));
    news = changed.map((order) => order.order_id);
    return news;
  },
};

// How the paper trades.

function see(ticker, price, at) {
  const before = known(state.prices, ticker);
  if (before && Date.parse(at) < Date.parse(before.at)) return false;
  state.prices[ticker] = { price, at };
  return true;
}

function objection(order) {
  const quantity = units(order.quantity);
  if (quantity <= 0n || quantity % ONE !== 0n) return "whole shares only";
  if (!known(state.prices, order.ticker)) return "no price is known";
  if (order.leg !== "entry") {
    const isCovered = held(order.ticker) * sign(order) < 0n && size(held(order.ticker)) >= quantity;
    return isCovered ? "" : `no position of ${order.quantity} ${order.ticker} to close`;
  }
  const cost = times(quantity, most(last(order.ticker), units(order.limit_price ?? "0")));
  return cost > power() ? `${text(cost)} USD is more than the cash at hand` : "";
}

// Cash for entries: a short position blocks its proceeds, and as much again.
function power() {
  let left = units(state.cash);
  for (const ticker of Object.keys(state.positions)) left += 2n * least(times(held(ticker), last(ticker)), 0n);
  return left;
}

// Whether an order fills at this price: a limit at it or better, a stop at it or worse.
function reaches(order, price) {
  if (order.order_type === "market") return true;
  if (order.order_type === "limit") return (units(order.limit_price) - price) * sign(order) >= 0n;
  return (price - units(order.stop_price)) * sign(order) >= 0n;
}

// Whether a new price filled the order or one of its legs. A limit fills at its limit, a stop at what is there.
function moved(order, price) {
  if (isWorking(order) && reaches(order, price)) {
    fill(order, order.order_type === "limit" ? units(order.limit_price) : price);
    return true;
  }
  const leg = order.legs.find((each) => isWorking(each) && reaches(closing(each, order), price));
  if (leg) fillLeg(leg, order, leg.leg === "stop" ? price : units(leg.trigger_price));
  return Boolean(leg);
}

function fill(order, price) {
  Object.assign(order, { state: "FILLED", filled_quantity: order.quantity, average_price: text(price) });
  if (order.leg === "entry") order.legs = ["stop", "target"].flatMap((name) => aLeg(order, name));
  book(order.ticker, sign(order) * units(order.quantity), price);
}

function fillLeg(leg, order, price) {
  Object.assign(leg, { state: "FILLED", filled_quantity: leg.protects, average_price: text(price) });
  for (const other of order.legs) if (isWorking(other)) other.state = "CANCELLED";
  book(order.ticker, -sign(order) * units(leg.protects), price);
}

function aLeg(order, name) {
  const trigger_price = order[`${name}_price`];
  if (trigger_price === null) return [];
  const order_id = `${order.order_id.slice(0, order.order_id.lastIndexOf("-"))}-${name}`;
  const nothing = { filled_quantity: "0", average_price: null };
  return [{ leg: name, order_id, state: "ACCEPTED", protects: order.filled_quantity, trigger_price, ...nothing }];
}

// The order that a leg is: of the other side, a stop, or a limit for the target.
function closing(leg, order) {
  return {
    side: order.side === "buy" ? "sell" : "buy",
    order_type: leg.leg === "stop" ? "stop" : "limit",
    limit_price: leg.trigger_price,
    stop_price: leg.trigger_price,
    quantity: leg.protects,
  };
}

function book(ticker, signed, price) {
  state.cash = text(units(state.cash) - times(signed, price));
  const before = held(ticker);
  const now = before + signed;
  let average = units(known(state.positions, ticker)?.average_price ?? "0");
  if (size(now) > size(before)) average = (size(before) * average + size(signed) * price) / size(now);
  delete state.positions[ticker];
  if (now !== 0n) state.positions[ticker] = { quantity: text(now), average_price: text(average) };
  for (const order of orders()) if (order.ticker === ticker) shrink(order, size(now));
}

// What would close more than is left closes less, or ends.
function shrink(order, left) {
  if (isWorking(order) && order.leg !== "entry" && units(order.quantity) > left)
    Object.assign(order, { state: "CANCELLED", reason: "there is no longer so much to close" });
  for (const leg of order.legs.filter(isWorking)) {
    leg.protects = text(least(units(leg.protects), left));
    if (left === 0n) leg.state = "CANCELLED";
  }
}

function outcome({ state: now, filled_quantity, average_price, reason, legs }) {
  return { state: now, filled_quantity, average_price, reason, legs };
}

function row(each, order, shown) {
  return {
    order_id: each.order_id,
    ticker: order.ticker,
    side: shown.side,
    quantity: shown.quantity,
    filled_quantity: each.filled_quantity,
    order_type: shown.order_type,
    limit_price: shown.order_type === "limit" ? shown.limit_price : null,
    stop_price: shown.order_type === "stop" ? shown.stop_price : null,
  };
}

// One line in, one line out.

const say = (document) => process.stdout.write(`${JSON.stringify({ v: 1, ...document })}\n`);

function answer(request) {
  try {
    const operation = known(OPERATIONS, request.op);
    if (!operation) throw new Failed("unknown_op", `${request.op} is nothing that this engine does`);
    const result = operation(request);
    save();
    return { id: request.id, ok: true, result };
  } catch (error) {
    state = JSON.parse(saved); // all that it changes is on disk before it is told, or nothing has changed
    news = [];
    return { id: request.id, ok: false, error: { code: error.code ?? "failed", message: error.message } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === "bye") {
    say({ id: request.id, ok: true, result: null });
    break;
  }
  say(answer(request));
  for (const order_id of news) say({ event: "order", order_id });
  news = [];
}
