/** The page: what is typed goes to the client, what comes back to the turns; once a frame, what is new is drawn. */

import { connect, newId } from "./client.js";
import { el, figure, write } from "./dom.js";
import { closeDrawer } from "./drawer.js";
import { Turn } from "./turn.js";

const KEY = "agentrt.thread";
const KEPT = 30; // runs of the thread that are shown again after a reload
const { main, log, empty, examples, title, form, input, send, pill, agents, latest, live, close, theme, renew } =
	Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (node) => [node.id, node]));

const address = new URL("ws", location.href.replace(/^http/, "ws").replace(/[?#].*/, ""));
const client = connect(address.href);
const turns = [];
let thread = recall();
let pinned = true; // to the end of the conversation
let drawing = 0;

// ---- the thread, remembered across reloads ----

function recall() {
	try {
		const kept = JSON.parse(localStorage.getItem(KEY));
		if (Array.isArray(kept.runs)) return kept;
	} catch {}
	return { id: newId(), agent: "", runs: [] };
}

function remember() {
	try {
		localStorage.setItem(KEY, JSON.stringify(thread));
	} catch {} // private windows refuse
}

// ---- asking ----

const current = () => turns.findLast(({ running }) => running);

function ask(text) {
	const question = text.trim();
	if (!question || current()) return;
	const runId = newId();
	const { id, runs } = recall(); // other tabs ask, too
	thread.runs = [...(id === thread.id ? runs : thread.runs), { id: runId, question }].slice(-KEPT);
	remember();
	pinned = true;
	input.value = "";
	watch(question, client.run(question, { agent: thread.agent || undefined, threadId: thread.id, runId }), true);
}

/** Show a run until it ends; what is told of a run that was asked just now is also said aloud. */
async function watch(question, run, aloud = false) {
	const turn = new Turn(run.runId, question, ask);
	turns.push(turn);
	log.append(turn.element);
	settle();
	try {
		for await (const event of run) {
			turn.take(event);
			news();
		}
	} catch (refused) {
		turn.fail(refused);
	}
	settle();
	if (!aloud) return;
	const { state, texts, error } = turn.view;
	if (state === "success") say([...texts.values()].at(-1)?.text.slice(0, 2000) ?? "Done.");
	else say(error?.message ?? "Stopped.");
}

function stop() {
	const turn = current();
	if (!turn) return;
	say("Stopping.");
	client.cancel(turn.view.runId).catch(() => {}); // it has ended by itself
}

function restart() {
	stop();
	closeDrawer();
	for (const { element } of turns.splice(0)) element.remove();
	thread = { ...thread, id: newId(), runs: [] };
	remember();
	settle();
	input.focus();
}

// ---- drawing ----

function news() {
	drawing ||= requestAnimationFrame(draw);
}

function draw() {
	drawing = 0;
	let more = false;
	for (const turn of turns) more = turn.draw() || more;
	if (pinned) main.scrollTop = main.scrollHeight;
	latest.hidden = pinned;
	if (more) setTimeout(news, 16); // every other frame is enough for bars that grow
}

/** What depends on whether a run goes on. */
function settle() {
	const busy = !!current();
	empty.hidden = turns.length > 0;
	document.body.classList.toggle("busy", busy);
	send.title = busy ? "Stop (Esc)" : "Send (Enter)";
	send.disabled = !busy && !input.value.trim();
	news();
}

/** For who does not see it. */
function say(text) {
	live.textContent = text;
}

// ---- the connection ----

let fading;

function show({ state, replayed, seconds, code, reason }) {
	clearInterval(fading);
	pill.dataset.state = state;
	pill.title = reason ? `${code} ${reason}` : "";
	write(pill, replayed ? `replayed ${figure(replayed)} events` : state);
	if (state === "connected") offer(client.welcome.agents ?? []);
	if (replayed) fading = setTimeout(show, 4000, { state });
	if (state !== "reconnecting") return;
	const until = Date.now() + seconds * 1000;
	const count = () => {
		const left = Math.ceil((until - Date.now()) / 1000);
		write(pill, left > 0 ? `reconnecting in ${left} s` : "reconnecting");
	};
	count();
	fading = setInterval(count, 200);
}

function offer(names) {
	if (!names.includes(thread.agent)) thread.agent = names[0] ?? "";
	agents.hidden = names.length < 2;
	agents.replaceChildren(...names.map((value) => el("option", { value, selected: value === thread.agent }, value)));
}

async function introduce() {
	const answer = await fetch("page.json");
	if (!answer.ok) return;
	const about = await answer.json();
	if (about.title) title.textContent = document.title = about.title;
	examples.append(...about.examples.map((text) => el("button", { type: "button", onclick: () => ask(text) }, text)));
}

// ---- hands and keys ----

form.onsubmit = (event) => {
	event.preventDefault();
	if (current()) stop();
	else ask(input.value);
};
input.oninput = settle;
input.onkeydown = (event) => {
	if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
	event.preventDefault();
	ask(input.value);
};
document.onkeydown = ({ key }) => {
	if (key === "Escape" && !closeDrawer()) stop();
};
main.onscroll = () => {
	latest.hidden = pinned = main.scrollHeight - main.scrollTop - main.clientHeight < 48;
};
latest.onclick = () => {
	pinned = true;
	news();
};
agents.onchange = () => {
	thread.agent = agents.value;
	remember();
};
close.onclick = closeDrawer;
renew.onclick = restart;
theme.onclick = () => {
	const { dataset } = document.documentElement;
	const now = dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
	dataset.theme = now === "dark" ? "light" : "dark";
	localStorage.setItem("agentrt.theme", dataset.theme);
};

client.addEventListener("status", ({ detail }) => show(detail));
new ResizeObserver(news).observe(main);
for (const { id, question } of thread.runs) watch(question, client.attach(id));
introduce();
settle();
