--- What takes something away from Heroku for good. Nothing of hkrun calls this by itself: recipes/decommission.lua does.
local errors = require "errors"

local M = {}

--- Deletes; what is gone already is no error.
local function delete(app, path, what, version)
  local ok, e = pcall(app.client.call, app.client, "DELETE", ("/apps/%s%s"):format(app.id, path), { what = what, version = version, secrets = true })
  if not ok and not errors.is(e, "not_found") then error(e, 0) end
end

--- An add-on with its data, and its attachments to other apps.
---@param addon string its name
function M.addon(app, addon) delete(app, "/addons/" .. addon, ("remove the add-on %s of %s"):format(addon, app.name)) end

---@param drain string its id
function M.drain(app, drain) delete(app, "/log-drains/" .. drain, "remove a log drain of " .. app.name) end

---@param webhook string its id
function M.webhook(app, webhook) delete(app, "/webhooks/" .. webhook, "remove a webhook of " .. app.name, "3.webhooks") end

--- The app itself, with whatever is left of it.
function M.app(app) delete(app, "", "delete the app " .. app.name) end

return M
