// Judges the .tf files of a folder by HashiCorp's own code (hclwrite, hclparse), compiled to WebAssembly: prints, as JSON,
// the files that `terraform fmt` would write otherwise, each with the first line that differs, and what they say.
const fs = require("fs"), path = require("path");
const tools = path.resolve(process.argv[2], "node_modules/@cdktf");
const { format } = require(path.join(tools, "hcl-tools")), { parse } = require(path.join(tools, "hcl2json"));

async function main(dir) {
  const unformatted = {}, said = {};
  for (const name of fs.readdirSync(dir).filter((n) => n.endsWith(".tf")).sort()) {
    const text = fs.readFileSync(path.join(dir, name), "utf8"), formatted = await format(text);
    if (formatted !== text) {
      const have = text.split("\n"), want = formatted.split("\n"), at = have.findIndex((line, i) => line !== want[i]);
      unformatted[name] = `line ${at + 1}: ${JSON.stringify(have[at])}, not ${JSON.stringify(want[at])}`;
    }
    said[name] = await parse(name, text);
  }
  console.log(JSON.stringify({ unformatted, said }));
}

main(process.argv[3]);
