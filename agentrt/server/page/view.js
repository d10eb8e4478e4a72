/**
 * A run as it is to be shown: the fold of its AG-UI events. Knows no page; times are ms since 1970.
 *
 * `calls` and `turns` have in `at` what the server's activities tell: state, queuedAt, startedAt, firstAt, endedAt,
 * waiting, retry, progress. `lag` is how far the server's clock is behind ours, at most.
 */

export const newView = (runId, question) => ({
	runId,
	question,
	state: "waiting", // then running; then success, cancelled or error
	startedAt: 0,
	endedAt: 0,
	firstWord: null, // the turn that said it, if we have seen it
	texts: new Map(), // {text, open} by the message's id
	calls: new Map(), // {id, name, args, parent, result, code, at} by the call's id
	turns: new Map(),
	sources: new Map(),
	usage: null,
	error: null, // {code, message}
	lag: Infinity,
	events: [],
});

const NOBODY = { at: {} };

/** Take one event in. */
export function apply(view, event, now) {
	view.events.push(event);
	heard(view, event.timestamp, now);
	folds[event.type]?.(view, event, now);
}

/** The server's time, as far as we know; it stands still when the run is over. */
export const serverNow = (view, now) => view.endedAt || Math.max(view.startedAt, now - (view.lag < Infinity ? view.lag : 0));

function heard(view, at, now) {
	if (at) view.lag = Math.min(view.lag, now - at);
}

function grown(map, id, fresh) {
	if (!map.has(id)) map.set(id, fresh);
	return map.get(id);
}

const callOf = (view, id) => grown(view.calls, id, { id, name: "", args: "", result: null, code: "", at: {} });
const textOf = (view, { messageId }) => grown(view.texts, messageId, { text: "", open: true });

const folds = {
	"agentrt.reset"(view) {
		Object.assign(view, newView(view.runId, view.question), { events: view.events });
	},
	RUN_STARTED(view, { timestamp, input }, now) {
		view.state = "running";
		view.startedAt = timestamp ?? now;
		asked(view, input?.messages ?? []);
	},
	RUN_FINISHED(view, event, now) {
		over(view, event, event.outcome?.type === "cancelled" ? "cancelled" : "success", now);
	},
	RUN_ERROR(view, event, now) {
		view.error = { code: event.code, message: event.message };
		over(view, event, "error", now);
	},
	TEXT_MESSAGE_START(view, event) {
		textOf(view, event);
		view.firstWord ??= [...view.turns.values()].at(-1) ?? NOBODY;
	},
	TEXT_MESSAGE_CONTENT(view, event) {
		textOf(view, event).text += event.delta;
	},
	TEXT_MESSAGE_END(view, event) {
		textOf(view, event).open = false;
	},
	TOOL_CALL_START(view, { toolCallId, toolCallName, parentMessageId }) {
		Object.assign(callOf(view, toolCallId), { name: toolCallName, parent: parentMessageId });
	},
	TOOL_CALL_ARGS(view, { toolCallId, delta }) {
		callOf(view, toolCallId).args += delta;
	},
	TOOL_CALL_RESULT(view, { toolCallId, content, metadata }) {
		Object.assign(callOf(view, toolCallId), { result: content, code: metadata?.agentrt?.code ?? "" });
	},
	ACTIVITY_SNAPSHOT(view, { messageId, activityType, content }, now) {
		activity(view, messageId, activityType, content, now);
	},
	ACTIVITY_DELTA(view, { messageId, activityType, patch }, now) {
		const content = Object.fromEntries(patch.map(({ path, value }) => [path.slice(1), value]));
		activity(view, messageId, activityType, content, now);
	},
	MESSAGES_SNAPSHOT(view, { messages }) {
		asked(view, messages);
		for (const message of messages) said(view, message);
	},
	CUSTOM(view, { name, value }) {
		if (name !== "agentrt.rewind") return;
		const { messageId } = value;
		view.texts.delete(messageId);
		for (const [id, { parent }] of view.calls) if (parent === messageId) view.calls.delete(id);
	},
};

function asked(view, messages) {
	const texts = messages.filter(({ role }) => role === "user").map(({ content }) => content);
	if (texts.length) view.question = texts.join("\n\n");
}

function said(view, message) {
	const { id, role, content, toolCalls = [] } = message;
	view.firstWord ??= NOBODY;
	if (role === "assistant" && content) view.texts.set(id, { text: content, open: false });
	if (role === "tool") folds.TOOL_CALL_RESULT(view, message);
	for (const call of toolCalls) {
		Object.assign(callOf(view, call.id), { name: call.function.name, args: call.function.arguments, parent: id });
	}
}

function activity(view, id, type, content, now) {
	for (const key of ["queuedAt", "startedAt", "firstAt", "endedAt"]) heard(view, content[key], now);
	const which = id.slice(id.indexOf(":") + 1);
	if (type === "agentrt.sources") for (const source of content.sources) view.sources.set(source.uri, source);
	if (type === "agentrt.model") Object.assign(grown(view.turns, id, { at: {} }).at, content);
	if (type === "agentrt.tool") {
		const call = callOf(view, which);
		call.name ||= content.name ?? "";
		Object.assign(call.at, content);
	}
}

function over(view, { timestamp, usage = [], metadata }, state, now) {
	view.endedAt = timestamp ?? serverNow(view, now);
	view.state = state;
	const sum = (key) => usage.reduce((all, one) => all + (one[key] ?? 0), 0);
	const estimated = metadata?.agentrt?.estimated;
	if (usage.length) view.usage = { input: sum("inputTokens"), output: sum("outputTokens"), estimated };
}
