// Webhooks: made, their secret shown once, tested, switched off and on, rotated and deleted.

import { call } from "../common/api.js";
import { element } from "../common/dom.js";
import { showDeliveries, showOlder } from "./deliveries.js";
import { at, badge, button, fieldsOrSay, orSay, send, row } from "./section.js";

const OVERLAP_SECONDS = 24 * 3600;

function stateOf(webhook) {
  const mark = badge(webhook.enabled ? "enabled" : "disabled");
  mark.classList.add(webhook.enabled ? "good" : "bad");
  const since = webhook.failing_since && `Failing since ${new Date(webhook.failing_since).toLocaleString()}.`;
  const why = webhook.enabled ? since : webhook.disabled_reason;
  return element("span", { class: "stack tight" }, mark, ...(why ? [element("span", { class: "small soft", text: why })] : []));
}

function rowOf(webhook) {
  const path = `/webhooks/${webhook.id}`;
  const actions = [
    button("Deliveries", () => orSay(() => showDeliveries(webhook))),
    ...(webhook.enabled ? [button("Send test", () => test(webhook))] : []),
    button(webhook.enabled ? "Disable" : "Enable", () => change(() => send("PATCH", path, { enabled: !webhook.enabled }))),
    button("Rotate secret", () => change(async () => reveal(await send("POST", `${path}/rotate-secret`, { overlap_seconds: OVERLAP_SECONDS })), "Make a new secret? For a day messages are signed with the old one, too.")),
    button("Delete", () => change(() => remove(webhook), "Delete the webhook with all its deliveries? This can't be undone.")),
  ];
  const events = webhook.event_types.join(", ");
  const address = element("span", { class: "stack tight" }, element("code", { text: webhook.url }), element("span", { class: "small soft", text: webhook.description }));
  return row({ Address: address, Events: events, State: stateOf(webhook), "": element("span", { class: "row" }, ...actions) });
}

async function change(work, question = "") {
  if (question && !confirm(question)) return;
  await orSay(async () => {
    await work();
    await show();
  });
}

async function test(webhook) {
  await orSay(async () => {
    await send("POST", `/webhooks/${webhook.id}/test`);
    await showDeliveries(webhook);
  });
}

async function remove(webhook) {
  await call("DELETE", `/webhooks/${webhook.id}`);
  at("deliveries").hidden = true;
}

function reveal(webhook) {
  at("secret").textContent = webhook.secret;
  at("shown").hidden = false;
  at("shown").scrollIntoView({ block: "nearest" });
}

async function show() {
  const found = await call("GET", "/webhooks?limit=100");
  at("webhooks").replaceChildren(...found.data.map(rowOf));
}

async function create() {
  await fieldsOrSay(async () => {
    const made = await send("POST", "/webhooks", {
      url: at("url").value,
      description: at("description").value,
      event_types: [...document.querySelectorAll("[name=event_types]:checked")].map((box) => box.value),
    });
    reveal(made);
    at("create").reset();
    await show();
  });
}

if (at("create")) {
  at("create").addEventListener("submit", (event) => {
    event.preventDefault();
    orSay(create);
  });
  at("copy").addEventListener("click", () => navigator.clipboard.writeText(at("secret").textContent));
  at("refresh").addEventListener("click", () => orSay(showDeliveries));
  at("more").addEventListener("click", () => orSay(showOlder));
  orSay(show);
}
