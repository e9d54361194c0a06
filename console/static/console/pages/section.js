// What the console's pages share: the refusal at their top, and how things look in tables.

import { call, Refusal } from "../common/api.js";
import { element } from "../common/dom.js";

export const at = (id) => document.getElementById(id);

const COLOURS = { succeeded: "good", failed: "bad", canceled: "", queued: "warn", processing: "accent" };

/** Do something, and show a refusal in words; anything else is a fault of ours and stays one. */
export async function orSay(work) {
  at("problem").hidden = true;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    at("problem").textContent = error.message;
    at("problem").hidden = false;
    return null;
  }
}

/** As `orSay`, for a form: what is wrong with a field is shown at the field. */
export async function fieldsOrSay(work) {
  for (const error of document.querySelectorAll("[data-field] .error")) error.hidden = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal) || !error.errors.length) throw error;
    for (const { field, detail } of error.errors) {
      const place = document.querySelector(`[data-field="${field.split(/[.[]/)[0]}"] .error`);
      if (!place) throw error;
      place.textContent = detail;
      place.hidden = false;
    }
  }
}

/** Send JSON that changes something; creations are made once, though the request may be repeated. */
export function send(method, path, body) {
  const headers = { "Idempotency-Key": crypto.randomUUID(), ...(body && { "Content-Type": "application/json" }) };
  return call(method, path, { body: body && JSON.stringify(body), headers });
}

export function button(text, onclick) {
  return element("button", { type: "button", class: "little", text, onclick });
}

export function badge(status) {
  return element("span", { class: `badge ${COLOURS[status] ?? ""}`, text: status });
}

export function moment(text) {
  return text ? new Date(text).toLocaleString() : "";
}

export function dollars(text) {
  return Number(text) ? `$${Number(text).toFixed(2)}` : "free";
}

/** A row of a table that becomes a list on phones: cells by their label. */
export function row(cells) {
  return element("tr", {}, ...Object.entries(cells).map(([label, content]) => element("td", { "data-label": label }, content ?? "")));
}

export function facts(list, values) {
  list.replaceChildren(
    ...Object.entries(values)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([name, value]) => [element("dt", { text: name }), element("dd", {}, value)]),
  );
}

export function figure(title, value, note = "") {
  return element("div", { class: "card stack tight" }, element("p", { class: "soft small", text: title }), element("p", { class: "figure", text: value }), element("p", { class: "small soft", text: note }));
}

export function videoLink(job) {
  const picture = job.output && !job.expired ? [element("img", { src: job.output.thumbnail_url, alt: "", width: 48, loading: "lazy" })] : [];
  return element("a", { class: "row", href: `/console/videos/${job.id}` }, ...picture, element("span", { class: "mono small", text: job.id }));
}
