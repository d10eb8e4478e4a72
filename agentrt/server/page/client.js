/**
 * A client of `agentrt.v1`: runs as async iterables of AG-UI events, each exactly once and in order, however often the
 * connection drops. For browsers and whatever else has a WebSocket.
 *
 *     const client = connect("ws://127.0.0.1:8080/ws");
 *     for await (const event of client.run("Hello", { threadId: "t1" })) show(event);
 *
 * A run's cursor `(epoch, after)` is the last event that was taken in. A frame is taken if and only if it begins right
 * behind it; one that brings nothing new is dropped; anything else is a gap, and the run is attached anew. After a
 * drop, what has no answer yet is sent again: starting a run twice is starting it once.
 *
 * @typedef {{type: string, [key: string]: any}} AguiEvent An AG-UI event, or `{type: "agentrt.reset"}`: forget what
 *   this run has shown, the events behind tell it anew.
 * @typedef {{epoch: number, after: number}} Cursor
 * @typedef {{state: "connecting"} | {state: "connected", replayed: number} | {state: "reconnecting", seconds: number}
 *   | {state: "closed", code: number, reason: string}} Status
 */

// Seconds, where nothing else is said.
const BASE = 0.1; // the first wait before connecting again, at most
const CAP = 10; // any such wait, at most
const OPENING = 10; // for a connection to be welcomed
const SETTLED = 5; // a connection that held this long was good: the waits begin anew
const BURST = 15; // commands at once, and then one each PACE ms; the server takes 20 a second
const PACE = 80;

/**
 * Seconds to wait before attempt `attempt`, 0 being the first after a drop: full jitter.
 * @param {number} attempt @param {() => number} random
 */
export const backoff = (attempt, random) => random() * Math.min(CAP, BASE * 2 ** attempt);

/** An id that nobody else has; `crypto.randomUUID` is missing on pages without TLS. */
export const newId = () =>
	Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The server said no; `code` is the protocol's word for why, or "closed". */
export class Refused extends Error {
	/** @param {{code: string, message: string, retryable?: boolean}} problem */
	constructor({ code, message, retryable = false }) {
		super(message);
		Object.assign(this, { name: "Refused", code, retryable });
	}
}

/**
 * Connect, and stay connected until `close()` or until the server says that there is no use.
 * @param {string} url @param {{token?: string, WebSocket?: any, random?: () => number}} [options]
 */
export const connect = (url, options = {}) => new Client(url, options);

/** A run as seen from here. Iterate it once; leaving the loop early ends the watching, not the run. */
class Run {
	known = false; // the server has said yes
	asked = ""; // the id of the start or attach without an answer
	missed = 0; // events that happened while we were away; they are here when the cursor is at `target`
	target = 0;
	#ended = false;
	#error;
	#events = [];
	#wake = () => {};

	constructor(runId, cursor, leave) {
		/** @type {string} */ this.runId = runId;
		/** @type {Cursor} */ this.cursor = { ...cursor };
		this.leave = leave;
	}

	take(events) {
		for (const event of events) {
			this.#events.push(event);
			if (event.type === "RUN_FINISHED" || event.type === "RUN_ERROR") this.end();
		}
		this.#wake();
	}

	end(error) {
		this.#ended = true;
		this.#error = error;
		this.leave();
		this.#wake();
	}

	/** @returns {AsyncGenerator<AguiEvent>} Throws `Refused` if the server does not, or not any more, show the run. */
	async *[Symbol.asyncIterator]() {
		try {
			while (true) {
				yield* this.#events.splice(0);
				if (this.#events.length) continue;
				if (this.#error) throw this.#error;
				if (this.#ended) return;
				await new Promise((resolve) => (this.#wake = resolve));
			}
		} finally {
			if (!this.#ended) this.leave(true);
		}
	}
}

/** Dispatches `status` events whose `detail` is a `Status`; `client.status` is the last one. */
class Client extends EventTarget {
	/** @type {Status} */ status = { state: "connecting" };
	/** The server's last `welcome`. */ welcome = null;
	#url;
	#options;
	#socket = null;
	#welcomed = 0; // when; 0: not yet on this connection
	#runs = new Map();
	#open = new Map(); // commands without an answer, {frame, done} by id
	#outbox = []; // the ids of those that are still to be sent
	#counter = 0;
	#paid = 0; // the time up to which commands have used up their share
	#attempt = 0;
	#replayed = 0;
	#heard = 0; // when anything last came
	#patience = 0; // seconds without a word after which the connection counts as lost
	#timer; // the next connect, or the next look at the patience
	#pacing;

	constructor(url, options) {
		super();
		this.#url = url;
		this.#options = { random: Math.random, WebSocket: globalThis.WebSocket, ...options };
		globalThis.addEventListener?.("online", this.#awake);
		globalThis.document?.addEventListener("visibilitychange", this.#awake);
		this.#connect();
	}

	/**
	 * Start a run. `input` is a text, or AG-UI messages; `options` are the frame's own, such as `{history: "client"}`.
	 * @param {string | object[]} input
	 * @param {{agent?: string, threadId?: string, runId?: string, options?: object}} [given]
	 */
	run(input, { agent, threadId = newId(), runId = newId(), options } = {}) {
		const messages = typeof input === "string" ? [{ id: newId(), role: "user", content: input }] : input;
		const body = { threadId, runId, messages, tools: [], context: [], state: {}, forwardedProps: {} };
		return this.#watch(runId, { epoch: 0, after: 0 }, { type: "run.start", agent, input: body, options });
	}

	/**
	 * Watch a run, from its beginning or from a cursor on.
	 * @param {string} runId @param {Cursor} [cursor]
	 */
	attach(runId, cursor = { epoch: 0, after: 0 }) {
		return this.#watch(runId, cursor);
	}

	/**
	 * Ask for a run to be stopped; done when the server has agreed. The run then ends by an event of its own.
	 * @param {string} runId @param {string} [reason] @returns {Promise<void>}
	 */
	cancel(runId, reason = "user") {
		return new Promise((resolve, reject) => {
			const done = ({ ok, error }) => (ok ? resolve() : reject(new Refused(error)));
			this.#command({ type: "run.cancel", run_id: runId, reason }, done);
		});
	}

	/** Runs go on without us; their iterables end. */
	close() {
		this.#finish(1000, "closed here");
	}

	// ---- runs ----

	#watch(runId, cursor, frame) {
		if (this.#runs.has(runId)) throw new Error(`run ${runId} is watched already: iterate the one you have`);
		const run = new Run(runId, cursor, (detach = false) => {
			this.#runs.delete(runId);
			this.#open.delete(run.asked);
			if (detach) this.#send({ type: "run.detach", id: "detach", run_id: runId });
		});
		this.#runs.set(runId, run);
		run.start = frame;
		this.#ask(run);
		return run;
	}

	#ask(run) {
		// A run is kept from its first event on; until then, start it again.
		const { start, runId, cursor } = run;
		const frame = (!cursor.after && start) || { type: "run.attach", run_id: runId, ...cursor };
		run.asked = this.#command(frame, ({ ok, error, epoch, next_seq }) => {
			run.asked = "";
			if (!ok) return run.end(new Refused(error));
			// In another epoch than the cursor's the numbers mean something else: a snapshot is on its way.
			run.target = next_seq - 1;
			run.missed = run.known && run.cursor.epoch === epoch ? run.target - run.cursor.after : 0;
			run.known = true;
			if (run.cursor.after === 0) run.cursor.epoch = epoch;
		});
	}

	#event({ run_id, first, seq, events }) {
		const run = this.#runs.get(run_id);
		if (!run || seq <= run.cursor.after) return;
		if (first !== run.cursor.after + 1) return this.#gap(run);
		run.cursor.after = seq;
		if (run.missed > 0 && seq >= run.target) this.#caughtUp(run, run.missed);
		run.take(events);
	}

	#snapshot({ run_id, epoch, seq, events }) {
		const run = this.#runs.get(run_id);
		if (!run) return;
		run.cursor = { epoch, after: seq };
		this.#caughtUp(run, events.length);
		run.take([{ type: "agentrt.reset" }, ...events]);
	}

	/** The server tells how far it has sent each run: what did not come is asked for. */
	#heartbeat({ runs }) {
		for (const [runId, head] of Object.entries(runs)) {
			const run = this.#runs.get(runId);
			if (run && head > run.cursor.after) this.#gap(run);
		}
	}

	#gap(run) {
		if (!run.asked) this.#ask(run);
	}

	#caughtUp(run, events) {
		run.missed = 0;
		this.#tell({ state: "connected", replayed: (this.#replayed += events) });
	}

	// ---- commands ----

	#command(frame, done) {
		const id = String(++this.#counter);
		this.#open.set(id, { frame: { ...frame, id }, done });
		if (this.status.state === "closed") queueMicrotask(() => this.#refuse());
		this.#outbox.push(id);
		this.#flush();
		return id;
	}

	#flush = () => {
		clearTimeout(this.#pacing);
		while (this.#welcomed && this.#outbox.length) {
			const now = Date.now();
			this.#paid = Math.max(this.#paid, now - (BURST - 1) * PACE);
			if (this.#paid > now) {
				this.#pacing = setTimeout(this.#flush, this.#paid - now);
				return;
			}
			const open = this.#open.get(this.#outbox.shift());
			if (!open) continue;
			this.#paid += PACE;
			this.#send(open.frame);
		}
	};

	#reply(reply) {
		const { code, retry_after_ms = 1000 } = reply.error ?? {};
		if (code === "draining") return; // it is sent again to whoever comes after
		if (code === "rate_limited") {
			this.#outbox.push(reply.id);
			this.#paid = Date.now() + retry_after_ms;
			return this.#flush();
		}
		const open = this.#open.get(reply.id);
		this.#open.delete(reply.id);
		open?.done(reply);
	}

	#refuse() {
		const { code, reason } = this.status;
		const error = { code: "closed", message: `The connection is closed: ${reason || code}.` };
		for (const run of [...this.#runs.values()]) run.end(code === 1000 ? undefined : new Refused(error));
		const open = [...this.#open.values()];
		this.#open.clear();
		for (const { done } of open) done({ ok: false, error });
	}

	// ---- the connection ----

	#send(frame) {
		if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
	}

	#connect() {
		const { WebSocket, token } = this.#options;
		const socket = (this.#socket = new WebSocket(this.#url, "agentrt.v1"));
		this.#replayed = this.#paid = 0;
		if (!this.welcome) this.#tell({ state: "connecting" });
		this.#expect(OPENING);
		socket.onopen = () => {
			const auth = token && { scheme: "bearer", token };
			this.#send({ type: "hello", protocol: "1.0", auth, client: { name: "client.js" } });
		};
		socket.onmessage = ({ data }) => {
			if (socket !== this.#socket) return;
			this.#heard = Date.now();
			const frame = JSON.parse(data);
			if (frame.type === "event") this.#event(frame);
			else if (frame.type === "snapshot") this.#snapshot(frame);
			else if (frame.type === "reply") this.#reply(frame);
			else if (frame.type === "heartbeat") this.#heartbeat(frame);
			else if (frame.type === "welcome") this.#greeted(frame);
		};
		socket.onclose = ({ code, reason }) => {
			if (socket === this.#socket) this.#dropped(code, reason);
		};
	}

	#greeted(welcome) {
		this.welcome = welcome;
		this.#welcomed = Date.now();
		this.#expect(2.5 * welcome.heartbeat_s);
		this.#tell({ state: "connected", replayed: 0 });
		for (const run of this.#runs.values()) if (!run.asked) this.#ask(run);
		this.#flush();
	}

	#dropped(code, reason) {
		if ((code >= 4400 && code < 4500) || code === 1009) return this.#finish(code, reason);
		if (this.#welcomed && Date.now() - this.#welcomed > SETTLED * 1000) this.#attempt = 0;
		if (code === 1013) this.#attempt = Math.max(this.#attempt, 4); // overloaded: not at once
		this.#socket = null;
		this.#welcomed = 0;
		// What is known is asked for anew; all else is sent again.
		for (const run of [...this.#runs.values()].filter(({ known }) => known)) {
			this.#open.delete(run.asked);
			run.asked = "";
		}
		this.#outbox = [...this.#open.keys()];
		const seconds = backoff(this.#attempt++, this.#options.random);
		this.#tell({ state: "reconnecting", seconds });
		this.#after(seconds, () => globalThis.document?.hidden || this.#connect());
	}

	/** Pages do not see pings: without a word for so many seconds, the connection counts as lost. */
	#expect(seconds) {
		this.#patience = seconds;
		this.#heard = Date.now();
		this.#look();
	}

	#look() {
		const left = this.#patience - (Date.now() - this.#heard) / 1000;
		if (left > 0) return this.#after(left, () => this.#look());
		const socket = this.#socket;
		this.#dropped(4002, "nothing came");
		socket.close();
	}

	#after(seconds, what) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(what, Math.ceil(seconds * 1000));
	}

	/** The network is back, or somebody looks at the page again. */
	#awake = () => {
		if (globalThis.document?.hidden) return;
		if (!this.#socket) return this.#connect();
		if (!this.#welcomed) return;
		// A laptop that slept holds dead connections: one that is alive answers within five seconds.
		this.#send({ type: "ping", t: Date.now() });
		this.#heard = Math.min(this.#heard, Date.now() - (this.#patience - 5) * 1000);
		this.#look();
	};

	#finish(code, reason) {
		clearTimeout(this.#timer);
		clearTimeout(this.#pacing);
		globalThis.removeEventListener?.("online", this.#awake);
		globalThis.document?.removeEventListener("visibilitychange", this.#awake);
		const socket = this.#socket;
		this.#socket = null;
		this.#welcomed = 0;
		socket?.close(1000);
		this.#tell({ state: "closed", code, reason });
		this.#refuse();
	}

	#tell(status) {
		this.status = status;
		this.dispatchEvent(new CustomEvent("status", { detail: status }));
	}
}
