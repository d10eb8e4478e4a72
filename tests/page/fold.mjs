// Folds streams of AG-UI events by the page's view: a line of JSON in, what is to be seen as a line of JSON out.

import { createInterface } from "node:readline";

const { apply, newView } = await import(new URL("../../agentrt/server/page/view.js", import.meta.url));

for await (const line of createInterface({ input: process.stdin })) {
  const view = newView("r1", "");
  for (const event of JSON.parse(line)) apply(view, event, 2_000_000_000_000);
  const { lag, events, firstWord, ...seen } = view;
  const plain = (_, value) => (value instanceof Map ? Object.fromEntries(value) : value);
  process.stdout.write(`${JSON.stringify(seen, plain)}\n`);
}
