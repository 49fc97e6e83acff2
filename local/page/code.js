/** A job's request as a program: each runs as it stands where the image's file lies. */

/**
 * @typedef {{base: string, id: string, local: boolean, input: Record<string, any>, file: string | null}} Request
 * `base`: the URL before the endpoint's `id`; `input`: numbers and texts, without the image's data; `file`: the image's,
 * null where input has image_url.
 */

/** Titles and writers, in the order shown. */
export const LANGUAGES = [["curl", curl], ["Python", python], ["JavaScript", javascript]];

/** @param {Request} request */
export function curl({ base, id, local, input, file }) {
  // In a here-document the shell reads $, ` and \.
  const escaped = entries(input).map((line) => line.replace(/[\\$`]/g, "\\$&"));
  if (file) escaped.unshift('"image": "$image"');
  return lines(
    file && `image=$(base64 < ${shellWord(file)} | tr -d '\\n')`,
    `curl -sS '${base}/${id}/runsync?wait=300000' -o answer.json \\`,
    !local && '  -H "Authorization: Bearer $RUNPOD_API_KEY" \\',
    `  -H 'Content-Type: application/json' -d @- <<EOF`,
    `{"input": {${escaped.join(",\n           ")}}}`,
    "EOF",
  );
}

/** @param {Request} request */
export function python({ base, id, local, input, file }) {
  return lines(
    "# pip install runpod",
    "import base64",
    !local && "import os",
    "from pathlib import Path",
    "",
    "import runpod",
    "",
    local ? `runpod.endpoint_url_base = ${text(base)}` : 'runpod.api_key = os.environ["RUNPOD_API_KEY"]',
    `endpoint = runpod.Endpoint(${text(id)}${local ? ', api_key="local"' : ""})`,
    file && `image = base64.b64encode(Path(${text(file)}).read_bytes()).decode()`,
    "job_input = {",
    file && '    "image": image,',
    ...entries(input).map((line) => `    ${line},`),
    "}",
    "answer = endpoint.run_sync(job_input, timeout=3600)",
    'if not answer or answer.get("status") != "success":',
    '    raise SystemExit(f"the job failed: {answer}")',
    'for output in answer["outputs"]:',
    '    data = answer["video_url"].partition(",")[2] if output["encoding"] == "video_url" else output.get("data")',
    '    if output["encoding"] in ("base64", "video_url"):',
    '        Path(output["filename"]).write_bytes(base64.b64decode(data))',
    "    else:",
    '        print(output["filename"], data or output.get("path"))',
  );
}

/** @param {Request} request */
export function javascript({ base, id, local, input, file }) {
  return lines(
    "// npm install runpod-sdk; save as clip.mjs, run with node",
    'import { readFile, writeFile } from "node:fs/promises";',
    'import runpodSdk from "runpod-sdk";',
    "",
    `const endpoint = runpodSdk(${local ? `"local", { baseUrl: ${text(base)} }` : "process.env.RUNPOD_API_KEY"}).endpoint(${text(id)});`,
    "const input = {",
    file && `  image: await readFile(${text(file)}, "base64"),`,
    ...entries(input).map((line) => `  ${line},`),
    "};",
    "let job = await endpoint.run({ input }, 60000);",
    "while (!job.completed) {",
    "  await new Promise((resolve) => setTimeout(resolve, 1000));",
    "  job = await endpoint.status(job.id, 60000);",
    "}",
    "if (!job.succeeded) throw new Error(job.error ?? job.status);",
    "for (const output of job.output.outputs) {",
    '  const data = output.encoding === "video_url" ? job.output.video_url.split(",")[1] : output.data;',
    '  if (["base64", "video_url"].includes(output.encoding)) await writeFile(output.filename, data, "base64");',
    "  else console.log(output.filename, data ?? output.path);",
    "}",
  );
}

/** Each field as `"name": value`. */
const entries = (input) => Object.entries(input).map(([name, value]) => `${text(name)}: ${text(value)}`);

/** A text or number as JSON, Python and JavaScript write it alike. */
const text = (value) => JSON.stringify(value);

function shellWord(word) {
  const safe = word.startsWith("-") ? `./${word}` : word;
  return /^[\w./-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", "'\\''")}'`;
}

/** The lines that are there, each ended. */
const lines = (...all) => `${all.filter((line) => typeof line === "string").join("\n")}\n`;
