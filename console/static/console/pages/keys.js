// API keys: made, shown once, rotated and revoked.

import { call } from "../common/api.js";
import { element } from "../common/dom.js";
import { at, badge, button, fieldsOrSay, moment, orSay, row, send } from "./section.js";

const OVERLAP_SECONDS = 24 * 3600;

function stateOf(key) {
  if (key.revoked_at) return "revoked";
  return key.expires_at && new Date(key.expires_at) < new Date() ? "expired" : "active";
}

function rowOf(key) {
  const state = stateOf(key);
  const actions = state === "active" && at("create")
    ? [button("Rotate", () => act(key, "rotate", `Make another key in place of “${key.name}”? The old one works for a day more.`)), button("Revoke", () => act(key, "revoke", `Revoke “${key.name}”? Programs that use it are refused at once.`))]
    : [];
  const mark = badge(state);
  mark.classList.add(state === "active" ? "good" : "bad");
  return row({ Name: key.name, Key: element("code", { text: `av_${key.mode}_${key.id}…` }), Scopes: key.scopes.join(", "), "Last use": moment(key.last_used_at) || "never", State: mark, "": element("span", { class: "row" }, ...actions) });
}

async function act(key, verb, question) {
  if (!confirm(question)) return;
  await orSay(async () => {
    if (verb === "revoke") await call("DELETE", `/api-keys/${key.id}`);
    else reveal(await send("POST", `/api-keys/${key.id}/rotate`, { overlap_seconds: OVERLAP_SECONDS }));
    await show();
  });
}

function reveal(made) {
  at("key").textContent = made.key;
  at("shown").hidden = false;
  at("shown").scrollIntoView({ block: "nearest" });
}

async function show() {
  const found = await call("GET", "/api-keys?limit=100");
  at("keys").replaceChildren(...found.data.map(rowOf));
}

async function create() {
  const expires = at("expires_at").value;
  await fieldsOrSay(async () => {
    const made = await send("POST", "/api-keys", {
      name: at("name").value,
      scopes: [...document.querySelectorAll("[name=scopes]:checked")].map((box) => box.value),
      allowed_ips: at("allowed_ips").value.split(",").map((text) => text.trim()).filter(Boolean),
      expires_at: expires ? new Date(`${expires}T23:59:59`).toISOString() : null,
    });
    reveal(made);
    at("create").reset();
    await show();
  });
}

at("create")?.addEventListener("submit", (event) => {
  event.preventDefault();
  orSay(create);
});
at("copy")?.addEventListener("click", () => navigator.clipboard.writeText(at("key").textContent));
if (at("create")) orSay(show);
