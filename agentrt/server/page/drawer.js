/** The drawer at the side: one thing looked at closely. Focus goes in when it opens and back when it closes. */

import { el, figure, many, quiet, seconds } from "./dom.js";
import { lasted, wordOf } from "./gantt.js";
import { link } from "./markdown.js";

const drawer = document.getElementById("drawer");
const title = drawer.querySelector("h2");
const body = drawer.querySelector(".body");
let opener = null;
let fill = () => [];

/** `filled()` makes what is shown, again and again while it is. To `peek` is to look if the drawer is open anyway. */
export function openDrawer(text, filled, by, peek = false) {
	if (peek && drawer.hidden) return;
	opener?.classList.remove("chosen");
	opener = by;
	by.classList.add("chosen");
	title.textContent = text;
	fill = filled;
	body.replaceChildren(...fill());
	body.scrollTop = 0;
	drawer.hidden = false;
	document.body.classList.add("drawn");
	if (!peek) title.focus();
}

/** Whether there was one to close. */
export function closeDrawer() {
	if (drawer.hidden) return false;
	drawer.hidden = true;
	document.body.classList.remove("drawn");
	opener.classList.remove("chosen");
	opener.focus();
	return true;
}

// Show what is new, unless somebody is at work in there.
setInterval(() => {
	if (drawer.hidden || body.contains(document.getSelection().anchorNode) || body.contains(document.activeElement)) return;
	const fresh = el("div", {}, ...fill());
	if (fresh.textContent !== body.textContent) body.replaceChildren(...fresh.childNodes);
}, 400);

/** Rows of name and value; those without a value are left out. */
function facts(rows) {
	const told = Object.entries(rows).filter(([, value]) => value);
	return el("dl", {}, ...told.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const code = (text) => el("pre", { tabIndex: 0 }, el("code", {}, text));

function json(text) {
	try {
		return code(JSON.stringify(JSON.parse(text), null, 2));
	} catch {
		return code(text);
	}
}

export function aboutCall({ at, args, code: why, result }, now) {
	const waited = at.startedAt - at.queuedAt;
	const rows = {
		State: wordOf(at) + (why ? ` (${why})` : ""),
		Ran: at.startedAt && seconds(lasted(at, now)),
		Waited: waited > 1 && seconds(waited),
		Progress: at.progress && JSON.stringify(at.progress),
	};
	const ending = result === null ? [] : [el("h3", {}, "Result"), json(result)];
	return [facts(rows), el("h3", {}, "Arguments"), json(args), ...ending];
}

export const aboutTurns = (turns, now) =>
	turns.flatMap(({ at }) => [
		el("h3", {}, `Turn ${at.turn}`),
		facts({
			Model: `${at.provider}:${at.model}`,
			State: wordOf(at),
			Took: seconds(lasted(at, now)),
			"First token": at.firstAt && `after ${seconds(at.firstAt - at.startedAt)}`,
			Tokens: at.inputTokens && `${figure(at.inputTokens)} in, ${figure(at.outputTokens)} out`,
			Attempts: at.attempts > 1 && String(at.attempts),
			"Last error": at.error,
		}),
	]);

export function aboutSources(sources) {
	const item = ({ title: name, uri }) => el("li", {}, /^https?:/.test(uri) ? link(name, uri) : name || uri);
	return [el("ol", { className: "sources" }, ...sources.map(item))];
}

/** The run's events as they came, and a way to keep them. */
export function aboutEvents({ events, runId }) {
	const lines = events.map((event) => JSON.stringify(event));
	const last = lines.slice(-300);
	const download = quiet("Download as JSON lines", () => {
		const href = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "application/jsonl" }));
		el("a", { href, download: `run-${runId}.jsonl` }).click();
		setTimeout(() => URL.revokeObjectURL(href), 10_000);
	});
	const shown = last.length < lines.length ? `, the last ${last.length} shown` : "";
	return [el("p", {}, `${many(lines.length, "event")}${shown}. `, download), code(last.join("\n"))];
}
