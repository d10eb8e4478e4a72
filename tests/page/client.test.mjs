// The client against a scripted server, in virtual time. `test_client_js.py` runs each of these by its name.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

const window = new EventTarget();
globalThis.addEventListener = window.addEventListener.bind(window);
globalThis.removeEventListener = window.removeEventListener.bind(window);
globalThis.document = Object.assign(new EventTarget(), { hidden: false });

const { backoff, connect } = await import(new URL("../../agentrt/server/page/client.js", import.meta.url));

/** A WebSocket whose other end is the test. */
class Socket {
  static made = [];
  readyState = 0;
  sent = [];

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    Socket.made.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  open({ heartbeat_s = 15 } = {}) {
    this.readyState = 1;
    this.onopen();
    this.say({ type: "welcome", protocol: "1.0", heartbeat_s, agents: ["clerk"] });
    return this;
  }
  say(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  drop(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  last(type) {
    return this.sent.findLast((frame) => frame.type === type);
  }
  all(type) {
    return this.sent.filter((frame) => frame.type === type);
  }
  ok(frame, more = {}) {
    this.say({ type: "reply", id: frame.id, ok: true, epoch: 1, next_seq: 1, ...more });
  }
  events(run_id, first, ...numbers) {
    this.say({ type: "event", run_id, first, seq: first + numbers.length - 1, events: numbers.map(delta) });
  }
}

const delta = (n) => ({ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: `${n} ` });
const DONE = { type: "RUN_FINISHED" };
const server = () => Socket.made.at(-1);
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A client, what it says of itself, and a way to hear a run to its end. */
function begin({ random = () => 1, ...options } = {}) {
  const client = connect("ws://host/ws", { WebSocket: Socket, random, ...options });
  const told = [];
  client.addEventListener("status", ({ detail }) => told.push(detail));
  clients.push(client);
  return { client, told };
}

/** Everything a run gave, as text, and how it ended. */
function heard(run) {
  const got = { text: "", refused: null, over: false };
  (async () => {
    try {
      for await (const event of run) got.text += event.delta ?? `${event.type} `;
    } catch (refused) {
      got.refused = refused;
    }
    got.over = true;
  })();
  return got;
}

const clients = [];
let clock;

afterEach(() => clients.splice(0).forEach((client) => client.close()));

beforeEach((context) => {
  Socket.made = [];
  document.hidden = false;
  clock = context.mock.timers;
  clock.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
});

test("events are given once and in order, and the run ends with its end", async () => {
  const { client } = begin({ token: "secret" });
  const got = heard(client.run("Hi.", { agent: "clerk", threadId: "t1", runId: "r1" }));
  const socket = server();
  assert.deepEqual([socket.url, socket.protocol, socket.sent], ["ws://host/ws", "agentrt.v1", []]);
  socket.open();
  assert.deepEqual(socket.sent[0].auth, { scheme: "bearer", token: "secret" });
  const start = socket.last("run.start");
  assert.equal(start.agent, "clerk");
  assert.deepEqual([start.input.threadId, start.input.runId], ["t1", "r1"]);
  assert.equal(start.input.messages[0].content, "Hi.");
  socket.ok(start);
  socket.events("r1", 1, 1, 2);
  socket.events("r1", 1, 1, 2);
  socket.events("r1", 2, 2);
  assert.equal(socket.last("run.attach"), undefined);
  socket.events("r1", 3, 3);
  socket.say({ type: "event", run_id: "r1", first: 4, seq: 9, events: [DONE] });
  socket.events("r1", 10, 10);
  await turn();
  assert.deepEqual(got, { text: "1 2 3 RUN_FINISHED ", refused: null, over: true });
});

test("a gap and an overlap attach anew from the cursor, once", async () => {
  const { client } = begin();
  const got = heard(client.run("Hi.", { runId: "r1" }));
  const socket = server().open();
  socket.ok(socket.last("run.start"), { epoch: 3 });
  socket.events("r1", 1, 1, 2);
  socket.events("r1", 4, 4);
  socket.events("r1", 5, 5);
  assert.deepEqual(socket.all("run.attach").map(({ epoch, after }) => [epoch, after]), [[3, 2]]);
  socket.ok(socket.last("run.attach"), { epoch: 3, next_seq: 6 });
  socket.events("r1", 3, 3, 4, 5);
  socket.events("r1", 5, 5, 6);
  assert.deepEqual(socket.last("run.attach").after, 5);
  await turn();
  assert.equal(got.text, "1 2 3 4 5 ");
});

test("a snapshot takes the place of what was given, and what follows it is taken", async () => {
  const { client } = begin();
  const run = client.attach("r1", { epoch: 1, after: 57 });
  const got = heard(run);
  const socket = server().open();
  const { epoch, after } = socket.last("run.attach");
  assert.deepEqual([epoch, after], [1, 57]);
  socket.ok(socket.last("run.attach"), { epoch: 2, next_seq: 401 });
  socket.say({ type: "snapshot", run_id: "r1", epoch: 2, seq: 400, events: [delta("all")] });
  socket.events("r1", 401, 401);
  await turn();
  assert.equal(got.text, "agentrt.reset all 401 ");
  assert.deepEqual(run.cursor, { epoch: 2, after: 401 });
});

test("an answer from another epoch leaves the cursor as it is until the snapshot", async () => {
  const { client } = begin();
  const run = client.run("Hi.", { runId: "r1" });
  server().open().ok(server().last("run.start"));
  server().events("r1", 1, 1, 2, 3);
  server().drop(1012);
  clock.tick(100);
  server().open().ok(server().last("run.attach"), { epoch: 2, next_seq: 9 });
  assert.deepEqual(run.cursor, { epoch: 1, after: 3 });
  server().drop();
  clock.tick(200);
  server().open();
  assert.equal(server().last("run.attach").epoch, 1);
  server().say({ type: "snapshot", run_id: "r1", epoch: 2, seq: 8, events: [] });
  assert.deepEqual(run.cursor, { epoch: 2, after: 8 });
});

test("a start without an answer is sent again as it was; one that was answered is attached", async () => {
  const { client, told } = begin();
  const got = heard(client.run("Hi.", { runId: "r1" }));
  const first = server().open().last("run.start");
  server().drop();
  clock.tick(100);
  server().open();
  assert.deepEqual(server().last("run.start"), first);
  server().ok(first, { existing: true });
  server().events("r1", 1, 1, 2);
  server().drop();
  clock.tick(200);
  server().open();
  assert.equal(server().last("run.start"), undefined);
  assert.equal(server().last("run.attach").after, 2);
  server().ok(server().last("run.attach"), { next_seq: 5 });
  server().events("r1", 3, 3, 4);
  assert.deepEqual(told.at(-1), { state: "connected", replayed: 2 });
  await turn();
  assert.equal(got.text, "1 2 3 4 ");
});

test("a start that was answered is sent again until the first event has come: only then is the run kept", async () => {
  const { client } = begin();
  client.run("Hi.", { runId: "r1" });
  const first = server().open().last("run.start");
  server().ok(first);
  server().drop();
  clock.tick(100);
  server().open();
  assert.equal(server().last("run.attach"), undefined);
  assert.deepEqual(server().last("run.start").input, first.input);
  server().ok(server().last("run.start"), { existing: true });
  server().events("r1", 1, 1);
  server().drop();
  clock.tick(200);
  server().open();
  assert.equal(server().last("run.start"), undefined);
  assert.equal(server().last("run.attach").after, 1);
});

test("codes that are fatal end it, and all others connect again", async () => {
  for (const code of [4400, 4401, 4403, 4406, 4408, 4409, 4429, 1009]) {
    const { client, told } = begin();
    const got = heard(client.run("Hi.", { runId: "r1" }));
    const stopping = assert.rejects(client.cancel("r1"), { code: "closed" });
    const made = Socket.made.length;
    server().open().drop(code, "because");
    clock.tick(60_000);
    window.dispatchEvent(new Event("online"));
    assert.equal(Socket.made.length, made, String(code));
    assert.deepEqual(told.at(-1), { state: "closed", code, reason: "because" });
    await stopping;
    await turn();
    assert.equal(got.refused.code, "closed");
    const late = heard(client.attach("r2"));
    await turn();
    assert.equal(late.refused.code, "closed");
  }
  for (const code of [1000, 1001, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003]) {
    const { client } = begin();
    const made = Socket.made.length;
    server().open().drop(code);
    clock.tick(2_000);
    assert.equal(Socket.made.length, made + 1, String(code));
    client.close();
  }
});

test("the waits double up to ten seconds, with full jitter, and begin anew after a good connection", () => {
  assert.deepEqual([0, 1, 2, 6, 7, 50].map((attempt) => backoff(attempt, () => 1)), [0.1, 0.2, 0.4, 6.4, 10, 10]);
  assert.equal(backoff(7, () => 0.25), 2.5);
  const { told } = begin();
  const waits = () => told.filter(({ state }) => state === "reconnecting").map(({ seconds }) => seconds);
  for (let n = 0; n < 9; n++) {
    server().drop();
    clock.tick(1000 * waits().at(-1) - 1);
    const made = Socket.made.length;
    clock.tick(1);
    assert.equal(Socket.made.length, made + 1);
  }
  assert.deepEqual(waits(), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]);
  server().open().drop();
  assert.equal(waits().at(-1), 10); // a welcome alone is no good connection
  clock.tick(10_000);
  server().open();
  clock.tick(6_000);
  server().drop();
  assert.equal(waits().at(-1), 0.1);
});

test("an overloaded server is not asked at once", () => {
  const { told } = begin();
  server().open().drop(1013);
  assert.deepEqual(told.at(-1), { state: "reconnecting", seconds: 1.6 });
});

test("silence for two and a half heartbeats, or no welcome in ten seconds, is a lost connection", () => {
  const { told } = begin();
  clock.tick(9_999);
  assert.equal(told.at(-1)?.state, undefined);
  clock.tick(1);
  assert.equal(told.at(-1).state, "reconnecting");
  clock.tick(100);
  const socket = server().open({ heartbeat_s: 4 });
  clock.tick(9_000);
  socket.say({ type: "heartbeat", t: 0, runs: {} });
  clock.tick(9_999);
  assert.equal(told.at(-1).state, "connected");
  clock.tick(1);
  assert.equal(told.at(-1).state, "reconnecting");
  assert.equal(socket.readyState, 3);
  socket.onclose({ code: 1006, reason: "" }); // the corpse reports late
  assert.equal(told.filter(({ state }) => state === "reconnecting").length, 2);
});

test("who comes back to the page does not wait, and a connection that only looks alive is found out", () => {
  const { told } = begin();
  for (let n = 0; n < 8; n++) {
    server().drop();
    clock.tick(10_000);
  }
  server().drop();
  const made = Socket.made.length;
  window.dispatchEvent(new Event("online"));
  assert.equal(Socket.made.length, made + 1);
  server().open();
  clock.tick(1_000);
  document.dispatchEvent(new Event("visibilitychange"));
  assert.ok(server().last("ping"));
  server().say({ type: "pong", t: 0 });
  clock.tick(20_000);
  assert.equal(told.at(-1).state, "connected");
  document.dispatchEvent(new Event("visibilitychange"));
  clock.tick(5_000);
  assert.equal(told.at(-1).state, "reconnecting");
  document.hidden = true; // nobody looks: it waits until somebody does
  const before = Socket.made.length;
  clock.tick(60_000);
  assert.equal(Socket.made.length, before);
  document.hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(Socket.made.length, before + 1);
});

test("a heartbeat that tells of more than came asks for it", () => {
  const { client } = begin();
  client.run("Hi.", { runId: "r1" });
  const socket = server().open();
  socket.ok(socket.last("run.start"));
  socket.events("r1", 1, 1);
  socket.say({ type: "heartbeat", t: 0, runs: { r1: 1, other: 9 } });
  assert.equal(socket.last("run.attach"), undefined);
  socket.say({ type: "heartbeat", t: 0, runs: { r1: 4 } });
  assert.equal(socket.last("run.attach").after, 1);
});

test("a refusal is thrown where the run is read, with the server's code", async () => {
  const { client } = begin();
  const got = heard(client.run("Hi.", { runId: "r1" }));
  const socket = server().open();
  const error = { code: "too_many_runs", message: "8 runs are active", retryable: true };
  socket.say({ type: "reply", id: socket.last("run.start").id, ok: false, error });
  await turn();
  assert.deepEqual([got.refused.code, got.refused.message, got.refused.retryable], ["too_many_runs", "8 runs are active", true]);
});

test("a cancel is done when the server has agreed, and is sent again after a drop", async () => {
  const { client } = begin();
  let done = false;
  client.cancel("r1").then(() => (done = true));
  const asked = server().open().last("run.cancel");
  assert.deepEqual([asked.run_id, asked.reason], ["r1", "user"]);
  server().drop();
  clock.tick(100);
  assert.deepEqual(server().open().last("run.cancel"), asked);
  await turn();
  assert.equal(done, false);
  server().ok(asked);
  await turn();
  assert.equal(done, true);
  const refused = assert.rejects(client.cancel("r2"), { code: "no_such_run" });
  const error = { code: "no_such_run", message: "no such run" };
  server().say({ type: "reply", id: server().last("run.cancel").id, ok: false, error });
  await refused;
});

test("a start that a stopping server turned away goes to the next one", () => {
  const { client } = begin();
  client.run("Hi.", { runId: "r1" });
  const start = server().open().last("run.start");
  server().say({ type: "reply", id: start.id, ok: false, error: { code: "draining", message: "", retryable: true } });
  server().drop(1012);
  clock.tick(100);
  assert.deepEqual(server().open().last("run.start"), start);
});

test("commands keep to the server's rate, and one that was too fast is sent again when it may be", () => {
  const { client } = begin();
  for (let n = 0; n < 40; n++) client.attach(`r${n}`);
  const socket = server().open();
  assert.equal(socket.all("run.attach").length, 15);
  clock.tick(1_000);
  const soon = socket.all("run.attach").length;
  assert.ok(soon > 20 && soon <= 30, String(soon));
  clock.tick(2_000);
  assert.equal(socket.all("run.attach").length, 40);
  const error = { code: "rate_limited", message: "", retryable: true, retry_after_ms: 700 };
  socket.say({ type: "reply", id: socket.last("run.attach").id, ok: false, error });
  clock.tick(699);
  assert.equal(socket.all("run.attach").length, 40);
  clock.tick(2);
  assert.equal(socket.all("run.attach").length, 41);
});

test("leaving the loop early ends the watching and not the run", async () => {
  const { client } = begin();
  const run = client.run("Hi.", { runId: "r1" });
  const socket = server().open();
  socket.ok(socket.last("run.start"));
  socket.events("r1", 1, 1, 2);
  for await (const event of run) {
    assert.equal(event.delta, "1 ");
    break;
  }
  assert.equal(socket.last("run.detach").run_id, "r1");
  assert.equal(socket.last("run.cancel"), undefined);
  client.attach("r1"); // and it may be watched again
  assert.throws(() => client.attach("r1"), /watched already/);
});

test("closing ends every run without an error, and connects no more", async () => {
  const { client, told } = begin();
  const got = heard(client.run("Hi.", { runId: "r1" }));
  server().open();
  client.close();
  clock.tick(60_000);
  await turn();
  assert.deepEqual([got.over, got.refused, Socket.made.length], [true, null, 1]);
  assert.equal(told.at(-1).state, "closed");
});

test("frames of types that are not known are let pass", async () => {
  const { client } = begin();
  const got = heard(client.run("Hi.", { runId: "r1" }));
  const socket = server().open();
  socket.ok(socket.last("run.start"));
  socket.say({ type: "run.announced", run_id: "r1" });
  socket.say({ type: "notice", code: "draining", message: "" });
  socket.events("r1", 1, 1);
  await turn();
  assert.equal(got.text, "1 ");
});

test("whatever is cut, doubled or joined, every event is given once and in order", async () => {
  let seed = 7;
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const upTo = (n) => Math.floor(random() * (n + 1));
  for (let round = 0; round < 200; round++) {
    const { client } = begin({ random });
    const got = heard(client.run("Hi.", { runId: "r1" }));
    const log = Array.from({ length: 1 + upTo(30) }, (_, n) => delta(n));
    log.push(DONE);
    let at = -1; // where the server's viewer stands; -1: there is none
    for (let step = 0; step < 10_000 && !got.over; step++) {
      const socket = server();
      if (socket.readyState === 0) socket.open();
      for (const frame of socket.sent.splice(0)) {
        if (frame.type !== "run.start" && frame.type !== "run.attach") continue;
        at = frame.after ?? 0;
        socket.ok(frame, { next_seq: log.length + 1 });
      }
      const chance = random();
      if (chance < 0.1) {
        socket.drop();
        at = -1;
        clock.tick(60_000);
      } else if (at >= 0 && at < log.length) {
        const first = chance < 0.25 ? Math.max(0, at - upTo(3)) : chance < 0.35 ? Math.min(at + 1, log.length - 1) : at;
        const last = Math.min(log.length, first + 1 + upTo(6));
        socket.say({ type: "event", run_id: "r1", first: first + 1, seq: last, events: log.slice(first, last) });
        if (first === at) at = last;
      }
      await turn();
    }
    assert.equal(got.text, log.map((event) => event.delta ?? "RUN_FINISHED ").join(""), `round ${round}`);
    client.close();
  }
});
