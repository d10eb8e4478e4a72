/** A run in the conversation: the question, the Gantt, the answer, its sources, and how it went. */

import { el, figure, many, quiet, seconds, write } from "./dom.js";
import { aboutCall, aboutEvents, aboutSources, aboutTurns, openDrawer } from "./drawer.js";
import { Gantt, together } from "./gantt.js";
import { Prose } from "./markdown.js";
import { apply, newView, serverNow } from "./view.js";

const CHIPS = 6;

export class Turn {
	#dirty = true;
	#shown = 0; // sources
	#gliding = true;
	#prose = new Map();
	#question = el("div", { className: "bubble" });
	#calls = el("b");
	#detail = el("span");
	#total = el("span", { className: "total" });
	#gantt = new Gantt((call, by, peek) => this.#open(call, by, peek));
	#card = el("details", { className: "card", open: true }, el("summary", {}, this.#calls, this.#detail, this.#total), this.#gantt.element);
	#answer = el("div");
	#chips = el("div", { className: "chips" });
	#status = el("p", { className: "status" });
	#footer = el("footer", { hidden: true });
	element = el("article", { className: "turn" }, this.#question, this.#card, this.#answer, this.#chips, this.#status, this.#footer);

	/** `again(question)` asks it anew. */
	constructor(runId, question, again) {
		this.view = newView(runId, question);
		this.again = again;
	}

	get running() {
		return this.view.state === "running" || this.view.state === "waiting";
	}

	get #now() {
		return serverNow(this.view, Date.now());
	}

	take(event) {
		apply(this.view, event, Date.now());
		this.#dirty = true;
	}

	/** The server does not show the run, or not any more. */
	fail({ code, message }) {
		const gone = code === "no_such_run";
		this.view.endedAt ||= this.#now;
		this.view.state = "error";
		this.view.error = gone ? { gone, message: "The server does not keep this run any more." } : { code, message };
		this.#dirty = true;
	}

	/** Draw what is new. True if there will be more to draw without any news: time passes, bars grow. */
	draw() {
		const { view } = this;
		if (!this.#dirty && !this.running && !this.#gliding) return false;
		const now = this.#now;
		this.#card.hidden = !view.calls.size;
		this.#gliding = view.calls.size > 0 && !this.#drawCard(now);
		if (this.#dirty) this.#drawWords();
		this.#dirty = false;
		this.#status.hidden = !this.running;
		if (this.running) write(this.#status, statusOf(view, now));
		return this.running || this.#gliding;
	}

	#drawCard(now) {
		const { view } = this;
		const calls = [...view.calls.values()];
		const { most, work } = together(calls, now);
		const count = (word, ...states) => {
			const n = calls.filter(({ at }) => states.includes(at.state)).length;
			return n ? [`${n} ${word}`] : [];
		};
		const parts = this.running
			? [...count("running", "running"), ...count("waiting", "queued", "rate_limited")]
			: [...count("failed", "error", "timeout"), ...count("stopped", "cancelled")];
		if (most > 1) parts.unshift(`up to ${most} at once`);
		const total = seconds(now - view.startedAt);
		write(this.#calls, many(calls.length, "tool call"));
		write(this.#detail, parts.join(" · "));
		write(this.#total, most > 1 && !this.running ? `${seconds(work)} of tool work · ${total} in all` : total);
		return this.#gantt.update(view, now);
	}

	#drawWords() {
		const { question, texts, sources, state } = this.view;
		write(this.#question, question);
		for (const [id, { text, open }] of texts) {
			if (!this.#prose.has(id)) this.#prose.set(id, new Prose(this.#answer));
			this.#prose.get(id).update(text, open && this.running);
		}
		for (const [id, { element }] of this.#prose) if (!texts.has(id)) element.remove(), this.#prose.delete(id);
		this.#chips.hidden = !sources.size;
		if (this.#shown !== sources.size) this.#drawChips([...sources.values()]);
		this.#footer.hidden = this.running;
		if (this.#footer.dataset.state !== state) this.#drawEnding();
		this.#footer.dataset.state = state;
	}

	#drawChips(sources) {
		const chip = (text, title) => {
			const onclick = () => openDrawer("Sources", () => aboutSources([...this.view.sources.values()]), made);
			const made = el("button", { type: "button", className: "chip", title, onclick }, text);
			return made;
		};
		this.#shown = sources.length;
		const shown = sources.slice(0, CHIPS).map(({ title, uri }) => chip(title || uri, uri));
		if (sources.length > CHIPS) shown.push(chip(`+${sources.length - CHIPS}`, "All sources"));
		this.#chips.replaceChildren(...shown);
	}

	#drawEnding() {
		const { error, usage, state, startedAt, endedAt, firstWord, events } = this.view;
		const parts = state === "cancelled" ? ["Stopped"] : [];
		if (startedAt) parts.push(seconds(endedAt - startedAt));
		if (firstWord?.at.firstAt) parts.push(`first word after ${seconds(firstWord.at.firstAt - startedAt)}`);
		if (usage) parts.push(`${usage.estimated ? "about " : ""}${many(usage.input, "token")} in, ${figure(usage.output)} out`);
		const look = quiet("Events", () => openDrawer("Events", () => aboutEvents(this.view), look));
		const line = el("p", {}, el("span", {}, parts.join(" · ")), events.length ? look : "");
		this.#footer.replaceChildren(...(error ? [this.#problem(error)] : []), line);
	}

	#problem({ code, message, gone }) {
		const again = quiet("Ask again", () => this.again(this.view.question));
		const text = el("p", {}, message, " ", code ? el("code", {}, code) : "");
		return el("div", { className: gone ? "problem gone" : "problem" }, text, again);
	}

	#open(call, by, peek) {
		const { view } = this;
		if (call) openDrawer(call.name, () => aboutCall(view.calls.get(call.id) ?? call, this.#now), by, peek);
		else openDrawer("The model's turns", () => aboutTurns([...view.turns.values()], this.#now), by, peek);
	}
}

/** What goes on, in a line. */
function statusOf({ state, turns, texts, calls }, now) {
	if (state === "waiting") return "Waiting for the server";
	const at = [...turns.values()].at(-1)?.at ?? {};
	const open = [...calls.values()].filter(({ at: { endedAt } }) => !endedAt).length;
	if (at.endedAt) return open ? `Running ${many(open, "tool")}` : "Working";
	const left = (until) => (until > now ? `, about ${Math.ceil((until - now) / 1000)} s` : "");
	if (at.state === "rate_limited") return `Waiting for a limit of ${at.provider} (${at.waiting.reason})${left(at.waiting.until)}`;
	if (at.state === "retrying") return `${at.retry.error}; asking again${left(at.retry.until)}`;
	if ([...texts.values()].some((text) => text.open)) return "Writing";
	return at.firstAt ? "Calling tools" : "Asking the model";
}
