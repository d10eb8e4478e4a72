/** Elements and figures. */

/** An element with properties and children. Text is only ever text. */
export function el(tag, given = {}, ...children) {
	const made = Object.assign(document.createElement(tag), given);
	made.append(...children);
	return made;
}

export const quiet = (text, onclick) => el("button", { type: "button", className: "quiet", onclick }, text);

/** Set only what differs: an untouched node costs no layout. */
export function write(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/** Milliseconds as people read them. */
export function seconds(ms, digits = ms < 9995 ? 2 : 1) {
	if (ms < 999.5) return `${Math.round(ms)} ms`;
	if (ms < 59_950) return `${(ms / 1000).toFixed(digits)} s`;
	return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export const figure = (n) => n.toLocaleString("en");
export const many = (n, one) => `${figure(n)} ${one}${n === 1 ? "" : "s"}`;
