--- hkrun report RECIPE: the report of its runs, from the journal alone: an HTML page, and the same as Markdown.
local errors = require "errors"
local fs = require "fs"
local load = require "recipe.load"
local log = require "log"
local report = require "recipe.report"

local USAGE = {
  "usage: hkrun report RECIPE.lua [--html FILE] [--markdown FILE] [--note TEXT] [--journal s3://BUCKET/KEY]",
  "                               [the recipe's options that name its target]",
  "Writes what its runs did: in short, before and after, the timeline, the recipe's tables, what was made, how to go back.",
  "Reads the journal only. Without --html and --markdown both are written beside it; FILE - is standard output.",
}

return {
  help = "writes the report of a recipe's runs, as HTML and Markdown",
  main = function(args)
    local o = load.arguments(args, "report", { html = true, markdown = true, note = true })
    if o.help then return load.usage(USAGE) end
    local r = load.upto_options(o, false)
    if r.memory.runs == 0 then errors.usage("%s was never applied: there is nothing to report", r.id) end
    local doc = report.document(r, o.note)
    for _, form in ipairs { "html", "md" } do
      local flag = form == "md" and "markdown" or form
      local path = o[flag] or not (o.html or o.markdown) and report.path(r, form)
      if path == "-" then log.data((report.text(doc, form):gsub("\n$", "")))
      elseif path then
        fs.write(path, report.text(doc, form), o[flag] and 420 or 384)
        log.out("%s", path)
      end
    end
    return 0
  end,
}
