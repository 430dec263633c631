--- hkrun policy RECIPE: the least IAM policy for the calls that the recipe's runs made, as the journal knows them.
local document = require "policy.document"
local fs = require "fs"
local json = require "json"
local load = require "recipe.load"
local log = require "log"
local operations = require "policy.operations"
local resources = require "policy.resources"

local USAGE = {
  "usage: hkrun policy RECIPE.lua [--out DIR] [--journal s3://BUCKET/KEY] [the recipe's options that name its target]",
  "Prints the least IAM policy (JSON) for the calls that its runs made, reads too. A run that destroyed what it made shows",
  "what that takes as well. Where one policy would be too large, it prints several: attach all. --out writes them as files.",
}

--- The AWS calls that the journal knows; those of Heroku need no policy.
local function calls_of(memory)
  local list, services = {}, {}
  for name in pairs(memory.calls) do
    if not name:find "^heroku%." then
      list[#list + 1] = name
      services[name:match "^[^.]+"] = true
    end
  end
  table.sort(list)
  return list, services
end

--- A journal in S3 is read and written with the same rights; its lock is let go after the last record.
local function with_journal(by_type, calls, at)
  local bucket = (at or ""):match "^s3://([^/]+)/"
  if not bucket then return end
  for type, suffix in pairs { ["s3:bucket"] = "", ["s3:object"] = "/*" } do
    by_type[type] = by_type[type] or {}
    table.insert(by_type[type], "arn:aws:s3:::" .. bucket .. suffix)
  end
  for _, name in ipairs { "GetObject", "PutObject", "DeleteObject" } do calls[#calls + 1] = "s3." .. name end
end

local function show(documents, out)
  for i, d in ipairs(documents) do
    local text = json.encode(d, { pretty = true })
    if out then
      fs.mkdir_p(out)
      fs.write(fs.join(out, documents[2] and ("policy-%d.json"):format(i) or "policy.json"), text .. "\n")
    else
      log.data(text)
    end
  end
end

return {
  help = "prints the least IAM policy for what a recipe did",
  main = function(args)
    local o = load.arguments(args, "policy")
    if o.help then return load.usage(USAGE) end
    local r = load.upto_options(o, false)
    local memory = r.memory
    local calls, services = calls_of(memory)
    if not calls[1] then
      log.info "no run of it has called AWS"
      return 0
    end
    local at = resources.place(memory.names)
    local by_type = resources.of(memory.names, at)
    with_journal(by_type, calls, r.journal.path)
    local documents, wide = document.of(calls, by_type, { recipe = r.id, region = at.R })
    show(documents, o.out)
    if documents[2] then
      log.info("%d policies: IAM takes %d characters in one, without whitespace; attach all of them", #documents, document.LIMIT)
    end
    for _, w in ipairs(wide) do log.info("not limited to resources, for %s: %s", w.why, table.concat(w.actions, ", ")) end
    for service, text in pairs(operations.warnings) do
      if services[service] then log.warn("%s", text) end
    end
    return 0
  end,
}
