--- hkrun export terraform RECIPE: what the recipe has made, as Terraform's files with import blocks, so that a team goes
--- on with Terraform or OpenTofu. It reads the journal and the cloud, and changes neither.
local aws = require "aws"
local errors = require "errors"
local export = require "terraform.export"
local fs = require "fs"
local load = require "recipe.load"
local log = require "log"
local readonly = require "readonly"
local run = require "recipe.run"
local sign = require "sign"
local sorted_keys = require "sorted_keys"

local USAGE = {
  "usage: hkrun export terraform RECIPE.lua [--out DIR] [--force] [--journal s3://BUCKET/KEY] [the recipe's options that name its target]",
  "Writes what the recipe has made as .tf files with import blocks (Terraform 1.5 or later, OpenTofu), a file for each stage.",
  "--out is the folder (terraform); --force overwrites files in it that others have written or changed.",
}

local HEAD = "# Written by hkrun export terraform of %s; sha256 of the lines below: %s\n\n"

--- Whether a file is as an export left it.
local function is_ours(text)
  local digest, body = text:match "^# Written by hkrun export terraform of [^\n]*; sha256 of the lines below: (%x+)\n\n(.*)$"
  return digest ~= nil and sign.sha256(body) == digest
end

--- The files of the folder that are not ours and would be overwritten, and those of an earlier export that are over.
local function compare(dir, files)
  local foreign, over = {}, {}
  for _, name in ipairs(fs.exists(dir) and fs.list(dir) or {}) do
    if name:find "%.tf$" then
      local ours = is_ours(fs.read(fs.join(dir, name)))
      if files[name] and not ours then foreign[#foreign + 1] = name end
      if not files[name] and ours then over[#over + 1] = name end
    end
  end
  table.sort(foreign)
  return foreign, over
end

local function write(o, files, recipe)
  local foreign, over = compare(o.out, files)
  if foreign[1] and not o.force then
    errors.usage("%s in %s: not as an export wrote %s; take another folder with --out, or overwrite with --force", table.concat(foreign, ", "),
      o.out, foreign[2] and "them" or "it")
  end
  fs.mkdir_p(o.out)
  for name, text in pairs(files) do fs.write(fs.join(o.out, name), HEAD:format(recipe, sign.sha256(text)) .. text) end
  for _, name in ipairs(over) do fs.remove(fs.join(o.out, name)) end
end

local function terraform(args)
  local o = load.arguments(args, "export terraform", { force = false })
  if o.help then return load.usage(USAGE) end
  o.out = o.out or "terraform"
  local r = load.upto_options(o, false)
  if not r.memory.order[1] then
    log.out "nothing to export: no run of it has made anything"
    return 0
  end
  readonly.set(true, "an export changes nothing")
  local files, left, count = run.with(r, export.files, r, aws.ec2.region)
  write(o, files, r.recipe)
  local names = sorted_keys(files)
  log.out("%d resources in %s: %s", count, o.out, table.concat(names, ", "))
  for _, x in ipairs(left) do log.out("not exported: %s: %s", x.key:gsub(":", " ", 1), x.why) end
  log.out("next: terraform -chdir=%s init && terraform -chdir=%s plan", o.out, o.out)
  return 0
end

return {
  help = "writes what a recipe has made for Terraform",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then return load.usage(USAGE) end
    if args[1] ~= "terraform" then errors.usage("hkrun export writes for terraform: hkrun export terraform RECIPE.lua") end
    return terraform(table.pack(table.unpack(args, 2)))
  end,
}
