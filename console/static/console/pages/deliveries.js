// The deliveries of one webhook: what was sent, what was answered, and sending it again.

import { call } from "../common/api.js";
import { element } from "../common/dom.js";
import { at, badge, button, moment, orSay, send } from "./section.js";

let shown;
let next;

/** Show the newest deliveries of a webhook, or of the one that is shown already. */
export async function showDeliveries(webhook = shown) {
  shown = webhook;
  const page = await read("");
  at("receiver").textContent = webhook.url;
  at("none").hidden = page.data.length > 0;
  at("messages").replaceChildren(...page.data.map(itemOf));
  at("deliveries").hidden = false;
  at("deliveries").scrollIntoView({ block: "nearest" });
}

/** Append the next page. */
export async function showOlder() {
  const page = await read(`&cursor=${encodeURIComponent(next)}`);
  at("messages").append(...page.data.map(itemOf));
}

async function read(cursor) {
  const page = await call("GET", `/webhooks/${shown.id}/deliveries?limit=20${cursor}`);
  next = page.next_cursor;
  at("more").hidden = !next;
  return page;
}

function itemOf(delivery) {
  const summary = element("summary", {}, element("span", { class: "mono small", text: delivery.event_type }), " ", badge(delivery.status), " ", element("span", { class: "small soft", text: moment(delivery.created_at) }));
  const again = button("Redeliver", () =>
    orSay(async () => {
      await send("POST", `/webhooks/${shown.id}/deliveries/${delivery.id}/redeliver`);
      await showDeliveries();
    }),
  );
  const due = delivery.next_attempt_at ? [element("p", { class: "small", text: `Next attempt: ${moment(delivery.next_attempt_at)}` })] : [];
  const { type, timestamp, data } = delivery.payload ?? {};
  const body = element("pre", { class: "scroll", tabindex: "0", "aria-label": "Body", text: JSON.stringify({ type, timestamp, data }, null, 2) });
  return element("li", {}, element("details", {}, summary, element("div", { class: "stack tight" }, element("p", { class: "mono small", text: delivery.id }), attemptsOf(delivery), ...due, body, element("div", {}, again))));
}

function attemptsOf(delivery) {
  const lines = delivery.attempts.map((attempt) => element("li", { class: "small" }, `${moment(attempt.at)}: ${attempt.status ?? "no answer"} in ${attempt.seconds.toFixed(2)} s `, element("code", { text: attempt.answer })));
  return lines.length ? element("ul", { class: "plain", "aria-label": "Attempts" }, ...lines) : element("p", { class: "small soft", text: "Not tried yet." });
}
