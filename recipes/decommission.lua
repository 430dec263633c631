--- Removes from Heroku an app that lives on AWS now: its webhooks, drains, add-ons with their data, and the app itself.
---
--- Run it when going back is out of the question, days or weeks after recipes/heroku_to_aws.lua: `hkrun rollback` of that has
--- nothing to go back to afterwards. A last dump of the database is made and proven first. Nothing on AWS is deleted: what a
--- cutover may have left there is listed, with the way to be rid of it; and so is each file and object that still holds
--- anything of the app or of the move.
local recipe = require "recipe"
local heroku = require "heroku"
local backup, kept, leftovers = require "decommission.backup", require "decommission.kept", require "decommission.leftovers"
local stage, need, confirm = recipe.stage, recipe.need, recipe.confirm

local opt = recipe.options {
  { "app", "Heroku app to remove", target = true },
  { "region", "AWS region that it was moved to", default = "us-east-1", use = function(v) require "aws".use { region = v } end },
  { "environment_name", "name of what was made there, if the move was given one (default: the app's)" },
  { "backup_dir", "folder for the last dump of its database", default = "heroku-backup" },
}

local GONE = "delete the app " .. opt.app

stage "audit"                                    -- only reads
local app = not recipe.done(GONE) and heroku.app(opt.app) or nil
local found = app and leftovers.on_heroku(app) or { list = {}, shared = {} }
need(not app or leftovers.is_frozen(app), "%s still runs on Heroku: move it first, or stop it with `heroku ps:scale` and "
  .. "`heroku maintenance:on`", opt.app)
need(#found.shared == 0, "other apps use %s, which would go with the app: give them one of their own first", table.concat(found.shared, ", "))
local before = recipe.once("count what is there", function() return leftovers.count(app) end)

stage "backup"                                   -- the last thing that goes back
local dump = recipe.once("dump the database, and prove the dump", function() return backup.make(app, opt.backup_dir) end)

stage "remove"
confirm(("Remove the app %s from Heroku for good, with its add-ons and their data?"):format(opt.app), nil, opt.app)
for _, what in ipairs(found.list) do
  recipe.once(what.title, function() what.remove(app) end)
end
recipe.once(GONE, function() app:delete() end)

stage "leftovers"                                -- ends at zero, or says what is left
if not recipe.planning() or recipe.done(GONE) then        -- also when it is applied again, to look what is left
  recipe.report("The last dump", backup.report(dump))
  local name = opt.environment_name or opt.app
  recipe.report("Left over", leftovers.after(opt.app, name, before), { head = true })
  recipe.report("Kept: copies and records, yours to delete", kept.list(opt.app, name, opt.backup_dir), { head = true })
end
