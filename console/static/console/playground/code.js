// The request on the page as code: what a program would send.

const KEY = "AVATAR_API_KEY";

/** Languages, and how each writes a request: files by field, and fields with text. */
export const LANGUAGES = { curl, Python: python, TypeScript: typescript };

function curl(api, files, fields) {
  const parts = [
    ...Object.entries(files).map(([name, file]) => `-F ${quoted(`${name}=@${file}`)}`),
    ...Object.entries(fields).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`),
  ];
  return [`curl "${api}/jobs" -H "Authorization: Bearer $${KEY}" -H "Prefer: wait=60"`, ...parts.map((part) => `  ${part}`)].join(" \\\n");
}

function python(api, files, fields) {
  return `import os

import httpx

answer = httpx.post(
    "${api}/jobs",
    headers={"Authorization": f"Bearer {os.environ['${KEY}']}", "Prefer": "wait=60"},
    files={
${Object.entries(files).map(([name, file]) => `        "${name}": open(${JSON.stringify(file)}, "rb"),`).join("\n")}
    },
    data={${Object.keys(fields).length ? `\n${Object.entries(fields).map(([name, value]) => `        "${name}": ${JSON.stringify(String(value))},`).join("\n")}\n    ` : ""}},
    timeout=90,
)
print(answer.raise_for_status().json()["output"])
`;
}

function typescript(api, files, fields) {
  return `import { openAsBlob } from "node:fs";

const form = new FormData();
${Object.entries(files).map(([name, file]) => `form.set("${name}", await openAsBlob(${JSON.stringify(file)}), ${JSON.stringify(file)});`).join("\n")}
${Object.entries(fields).map(([name, value]) => `form.set("${name}", ${JSON.stringify(String(value))});`).join("\n")}
const answer = await fetch("${api}/jobs", {
  method: "POST",
  headers: { Authorization: \`Bearer \${process.env.${KEY}}\`, Prefer: "wait=60" },
  body: form,
});
if (!answer.ok) throw new Error((await answer.json()).detail);
console.log((await answer.json()).output);
`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
