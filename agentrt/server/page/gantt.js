/**
 * The Gantt of a run: the model's turns in one lane, a lane for each call of a tool, one time axis for all.
 *
 * Times are ms. While the run goes on, the axis ends at a round figure beyond now and glides to the next one; when it
 * is over, the axis ends with it.
 */

import { el, seconds, write } from "./dom.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const ROUND = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
const ENDS = { error: "failed", timeout: "timed out", cancelled: "stopped" };
const WAITS = { rate_limited: "limit", retrying: "retry" };

/** The least round figure that is not less. */
function round(least) {
	const unit = 10 ** Math.floor(Math.log10(least));
	return unit * ROUND.find((one) => one * unit >= least * 0.999);
}

/** What a call or a turn is doing, in words. */
export function wordOf({ state, waiting }) {
	if (state === "rate_limited") return `waiting for a limit (${waiting?.reason ?? "rate"})`;
	return ENDS[state] ?? state ?? "being written";
}

/** How long it ran, or has been at it. */
export const lasted = ({ queuedAt, startedAt = queuedAt, endedAt }, now) => (endedAt ?? now) - (startedAt ?? now);

/** How many calls ran at once, at most, and the ms they took one by one. */
export function together(calls, now) {
	const begun = calls.filter(({ at }) => at.startedAt).map(({ at }) => [at.startedAt, at.endedAt ?? now]);
	const at = (time) => begun.filter(([from, to]) => from <= time && (time < to || from === to)).length;
	const work = begun.reduce((sum, [from, to]) => sum + to - from, 0);
	return { most: Math.max(0, ...begun.map(([from]) => at(from))), work };
}

/** Arguments in a line: their values, addresses by their last part; or the text, if that is no object. */
export function brief(args) {
	try {
		const values = Object.values(JSON.parse(args)).map((value) => (value?.trim ? value : JSON.stringify(value)));
		return values.map((value) => value.replace(/^https?:\/\/(?:.*\/)?([^/]+)\/?$/, "$1")).join(", ");
	} catch {
		return args;
	}
}

export class Gantt {
	#lanes = new Map();
	#span = 0;
	#ticks = [];
	#scaled = "";
	#axis = el("div", { className: "axis" });
	#line = el("i", { className: "now" });
	#rows = el("ul", { className: "lanes" });
	element = el("div", { className: "gantt" }, el("div", { className: "plane", ariaHidden: "true" }, this.#axis, this.#line), this.#rows);

	/** `open(call, button, peek)`: what was clicked, or only came into focus; without a call it is the model's lane. */
	constructor(open) {
		this.open = open;
	}

	/** Draw the run as it is now; true when nothing glides any more. */
	update(view, now) {
		this.#lane("").turns([...view.turns.values()], now);
		for (const call of view.calls.values()) this.#lane(call.id, call).call(call, now);
		for (const [id, { element }] of this.#lanes) {
			if (id && !view.calls.has(id)) element.remove(), this.#lanes.delete(id);
		}
		this.element.classList.toggle("dense", this.#lanes.size > 12);
		const elapsed = Math.max(1, now - view.startedAt);
		const goal = view.endedAt ? elapsed : round(Math.max(400, elapsed * 1.04));
		const there = still.matches || !this.#span || Math.abs(goal - this.#span) < goal * 0.002;
		this.#span = there ? goal : this.#span + (goal - this.#span) * 0.18;
		this.#scale();
		for (const lane of this.#lanes.values()) lane.place(view.startedAt, this.#span, now);
		this.#line.hidden = view.endedAt > 0;
		this.#line.style.left = `${(100 * elapsed) / this.#span}%`;
		return there;
	}

	#lane(id, call) {
		if (!this.#lanes.has(id)) {
			const lane = new Lane((button, peek) => this.open(call, button, peek));
			this.#lanes.set(id, lane);
			this.#rows.append(lane.element);
		}
		return this.#lanes.get(id);
	}

	#scale() {
		const step = round(this.#span / Math.max(2, Math.floor((this.#axis.clientWidth || 600) / 84)));
		const count = Math.floor(this.#span / step);
		if (`${step} ${count}` !== this.#scaled) {
			this.#scaled = `${step} ${count}`;
			this.#ticks = Array.from({ length: count + 1 }, (_, n) => el("span", {}, n ? seconds(n * step, +(step % 1000 > 0)) : "0"));
			this.#axis.replaceChildren(...this.#ticks);
		}
		this.#ticks.forEach((tick, n) => {
			const part = (n * step) / this.#span;
			tick.style.left = `${100 * part}%`;
			tick.classList.toggle("bare", part > 0.94);
		});
	}
}

/** One lane. Its bars are kept and moved, never made anew. */
class Lane {
	#name = el("b");
	#about = el("i");
	#track = el("span", { className: "track" });
	#word = el("span", { className: "word" });
	#time = el("span", { className: "time" });
	#bars = [];
	#placed = "";
	#button = el("button", { type: "button", className: "lane" }, el("span", { className: "name" }, this.#name, " ", this.#about), this.#track, this.#time);
	element = el("li", {}, this.#button);

	constructor(open) {
		this.#track.append(this.#word);
		this.#button.onclick = () => open(this.#button, false);
		this.#button.onfocus = () => open(this.#button, true);
	}

	turns(turns, now) {
		turns.forEach(({ at }, n) => {
			const ended = ENDS[at.state] ? at.state : "said";
			const kind = WAITS[at.state] ? "wait limit" : at.endedAt && !at.firstAt ? ended : "think";
			this.#bar(2 * n, kind, at.startedAt, at.firstAt ?? at.endedAt);
			this.#bar(2 * n + 1, "said", at.firstAt, at.endedAt);
		});
		const busy = turns.reduce((sum, { at }) => sum + lasted(at, now), 0);
		this.#say("model", turns.length > 1 ? `${turns.length} turns` : "", busy, turns.at(-1)?.at ?? {});
	}

	call({ name, args, at }, now) {
		const { state = "queued", queuedAt, startedAt, endedAt } = at;
		this.#bar(0, at.waiting ? "wait limit" : "wait", queuedAt, startedAt ?? endedAt);
		this.#bar(1, startedAt && !endedAt ? `${state} live` : state, startedAt, endedAt);
		this.#bar(2, "deadline", at.deadlineAt, at.deadlineAt);
		this.#say(name, brief(args).slice(0, 120), queuedAt ? lasted(at, now) : 0, at);
	}

	#say(name, about, ms, at) {
		write(this.#name, name);
		write(this.#about, about);
		write(this.#time, ms ? seconds(ms) : "");
		write(this.#word, WAITS[at.state] ?? ENDS[at.state] ?? "");
		this.#word.className = `word ${at.state}`;
		const label = `${name} ${about}, ${wordOf(at)}`;
		if (this.#button.title !== label) this.#button.title = this.#button.ariaLabel = label;
	}

	/** The lane's nth bar: from when to when, undefined being not yet. */
	#bar(n, kind, from, to) {
		const bar = (this.#bars[n] ??= { node: this.#track.appendChild(el("span")) });
		if (bar.kind === kind && bar.from === from && bar.to === to) return;
		Object.assign(bar, { kind, from, to });
		bar.node.className = `bar ${kind}`;
		this.#placed = "";
	}

	place(start, span, now) {
		const key = `${start} ${span}`;
		if (key === this.#placed && this.#bars.every(({ from, to }) => !from || to)) return;
		this.#placed = key;
		for (const { node, from, to } of this.#bars) {
			node.hidden = !from || from > start + span;
			node.style.left = `${(100 * (from - start)) / span}%`;
			node.style.width = `${(100 * ((to ?? now) - from)) / span}%`;
		}
		// The word stands behind the lane's bars, or before them where there is no room.
		const begun = this.#bars.filter(({ from, kind }) => from && kind !== "deadline");
		const [from, to] = [begun[0]?.from, begun.at(-1)?.to ?? now].map((at) => (100 * (at - start)) / span);
		const late = to > 84;
		this.#word.style.left = late ? "" : `${to}%`;
		this.#word.style.right = late ? `${100 - from}%` : "";
	}
}
