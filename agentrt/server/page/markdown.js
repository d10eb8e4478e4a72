/**
 * A small, safe Markdown, as DOM nodes. Text is only ever text; there are no images and no HTML, and a link shows
 * where it leads.
 */

import { el } from "./dom.js";

const ITEM = /^( *)([-*+•]|\d{1,9}[.)])( +|$)/;
const FENCE = /^ *(```+|~~~+) *([\w+#.-]*)[^`]*$/;
const HEADING = /^(#{1,6}) +(.*?)(?: +#*)?$/;
const QUOTE = /^ {0,3}> ?/;
const DASHES = /^ *\|?( *:?-+:? *\|)+( *:?-+:? *)?$/;
const INLINE = new RegExp(
	[
		/(`+)(?!`)(?<code>[^]+?)(?<!`)\1(?!`)/,
		/\*\*(?=\S)(?<bold>[^]+?)\*\*/,
		/(?<![\w*])\*(?=[^\s*])(?<star>[^*]+)(?<=\S)\*/,
		/(?<!\w)_(?=[^\s_])(?<low>[^_]+)(?<=\S)_(?!\w)/,
		/\[(?<label>[^\]\n]+)\]\(<?(?<to>https?:\/\/[^\s)>]+)>?(?: +"[^"]*")?\)/,
		/(?<url>https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?])/,
		/\\(?<plain>[!-/:-@[-`{-~])/,
		/(?<line>\n)/,
	].map(({ source }) => source).join("|"),
);
const LONG = 10_000; // characters of a paragraph that is shown as it is

/** Text that grows: whole blocks stay as they are, only the last one is drawn again. */
export class Prose {
	element = el("div", { className: "prose" });
	#text = "";
	#start = 0; // of the last block
	#kept = 0; // nodes before it

	constructor(place) {
		place.append(this.element);
	}

	/** `open`: more is to come. */
	update(text, open) {
		this.element.classList.toggle("open", open);
		if (text === this.#text) return;
		if (!text.startsWith(this.#text)) this.#start = this.#kept = 0;
		this.#text = text;
		while (this.element.childNodes.length > this.#kept) this.element.lastChild.remove();
		const found = blocks(text.slice(this.#start));
		this.element.append(...found.map(draw));
		// What an unfinished line begins may yet turn out to go on with the block before.
		const unsure = found.at(-1)?.lines.length === 1 && !text.endsWith("\n") ? 2 : 1;
		if (found.length < unsure) return;
		this.#kept += found.length - unsure;
		this.#start += found.at(-unsure).start;
	}
}

function blocks(text) {
	const lines = text.split("\n");
	const found = [];
	for (let n = 0, start = 0; n < lines.length; ) {
		const kind = kindOf(lines, n);
		const taken = lines.slice(n, kind ? endOf(kind, lines, n) : n + 1);
		if (kind) found.push({ kind, lines: taken, start });
		start += taken.join("\n").length + 1;
		n += taken.length;
	}
	return found;
}

/** What begins in this line; nothing if it is blank. */
function kindOf(lines, n) {
	const line = lines[n];
	if (!line.trim()) return "";
	if (FENCE.test(line)) return "fence";
	if (HEADING.test(line)) return "heading";
	if (QUOTE.test(line)) return "quote";
	if (ITEM.test(line)) return "list";
	return line.includes("|") && DASHES.test(lines[n + 1] ?? "") ? "table" : "text";
}

const numbered = (line) => /^ *\d/.test(line);

/** The line behind the block that begins at `n`. */
function endOf(kind, lines, n) {
	if (kind === "heading") return n + 1;
	let end = n + 1;
	if (kind === "fence") {
		const mark = lines[n].match(FENCE)[1];
		while (end < lines.length && lines[end].trim() !== mark) end++;
		return end + 1;
	}
	for (let at = end; at < lines.length; at++) {
		const next = kindOf(lines, at);
		const goes = {
			text: next === "text",
			quote: next === "quote",
			table: lines[at].includes("|"),
			list: !next || lines[at].startsWith("  ") || (next === "list" && numbered(lines[at]) === numbered(lines[n])),
		};
		if (!goes[kind]) break;
		if (next) end = at + 1;
	}
	return end;
}

function draw({ kind, lines }) {
	const text = lines.join("\n").trim();
	if (kind === "heading") {
		const [, marks, title] = lines[0].match(HEADING);
		return el(`h${Math.min(6, marks.length + 2)}`, {}, ...inline(title));
	}
	if (kind === "quote") return el("blockquote", {}, ...blocks(lines.map((line) => line.replace(QUOTE, "")).join("\n")).map(draw));
	if (kind === "fence") return fence(lines);
	if (kind === "list") return list(lines);
	if (kind === "table") return table(lines);
	return el("p", {}, ...inline(text));
}

function fence([first, ...rest]) {
	const [, mark, language] = first.match(FENCE);
	if (rest.at(-1)?.trim() === mark) rest.pop();
	const made = el("pre", { tabIndex: 0 }, el("code", {}, rest.join("\n")));
	if (language) made.dataset.language = language;
	return made;
}

function list(lines) {
	const [{ length: width }, { length: base }, mark] = lines[0].match(ITEM);
	const items = [];
	for (const line of lines) {
		const head = line.match(ITEM);
		if (head?.[1].length <= base + 1) items.push([line.slice(head[0].length)]);
		else items.at(-1).push(line.slice(Math.min(width, line.search(/\S|$/))));
	}
	const inner = ({ kind, lines: own }) => (kind === "text" ? inline(own.join("\n").trim()) : [draw({ kind, lines: own })]);
	const made = items.map((item) => el("li", {}, ...blocks(item.join("\n")).flatMap(inner)));
	return parseInt(mark, 10) >= 0 ? el("ol", { start: parseInt(mark, 10) }, ...made) : el("ul", {}, ...made);
}

function table([head, , ...rows]) {
	const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
	const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => el(tag, {}, ...inline(cell.trim()))));
	return el("table", {}, row(head, "th"), ...rows.map((line) => row(line, "td")));
}

function inline(text) {
	const match = text.length < LONG && text.match(INLINE);
	if (!match) return [text];
	const rest = text.slice(match.index + match[0].length);
	return [text.slice(0, match.index), marked(match.groups), ...inline(rest)];
}

function marked({ code, bold, star, low, label, to, url, plain }) {
	if (code) return el("code", {}, code);
	if (bold) return el("strong", {}, ...inline(bold));
	if (star || low) return el("em", {}, ...inline(star || low));
	if (to || url) return link(label, to || url);
	return plain || el("br");
}

/** Opened by a click only, in a tab that knows nothing of this one; the address is in sight. */
export function link(label, href) {
	const short = href.replace(/^https?:\/\/(www\.)?|\/$/g, "").replace(/^(.{47}).{2,}$/, "$1…");
	const shown = label && label !== href ? [label, " ", el("small", {}, short)] : [short];
	return el("a", { href, target: "_blank", rel: "noopener noreferrer", title: href }, ...shown);
}
