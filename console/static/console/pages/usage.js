// What was used in a period, by day or key, as a table with bars and as CSV.

import { call } from "../common/api.js";
import { duration, element } from "../common/dom.js";
import { at, dollars, figure, orSay, row } from "./section.js";

let report;

function bar(value, most) {
  return element("span", { class: "row" }, element("meter", { value, max: most || 1, "aria-label": "Share of the largest" }), element("span", { class: "number", text: value.toFixed(1) }));
}

async function show() {
  const group = at("group_by").value;
  const query = new URLSearchParams({ group_by: group });
  if (at("from").value) query.set("from", at("from").value);
  if (at("to").value) query.set("to", at("to").value);
  report = await call("GET", `/usage?${query}`);
  at("from").value = report.start;
  at("to").value = report.end;
  at("group").textContent = group === "day" ? "Day" : "Key";
  const { total } = report;
  at("figures").replaceChildren(figure("Video", duration(total.video_seconds)), figure("Videos", String(total.jobs)), figure("Costs", dollars(total.cost_usd)));
  const most = Math.max(...report.data.map((each) => each.video_seconds), 0);
  at("rows").replaceChildren(
    ...report.data.map((each) => row({ [at("group").textContent]: each.day ?? each.key_id ?? "people", "Seconds of video": bar(each.video_seconds, most), Videos: String(each.jobs), "GPU seconds": each.gpu_seconds.toFixed(1), Costs: dollars(each.cost_usd) })),
  );
}

function save() {
  const columns = ["day", "key_id", "jobs", "video_seconds", "gpu_seconds", "cost_usd"];
  const lines = [columns, ...report.data.map((each) => columns.map((name) => each[name] ?? ""))];
  const address = URL.createObjectURL(new Blob([`${lines.map((line) => line.join(",")).join("\n")}\n`], { type: "text/csv" }));
  const link = element("a", { href: address, download: `usage-${report.start}-${report.end}.csv` });
  link.click();
  URL.revokeObjectURL(address);
}

at("period").addEventListener("submit", (event) => {
  event.preventDefault();
  orSay(show);
});
at("csv").addEventListener("click", save);
orSay(show);
