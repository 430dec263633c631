--- Heroku's Platform API and Data API.
---
---     local app = heroku.app "shop"
---     for _, process in ipairs(app.formation) do print(process.type, process.quantity) end
---     local freeze <close> = app:freeze()
---
--- The token is HEROKU_API_KEY, else what the Heroku CLI left in ~/.netrc.
--- HEROKU_HOST and HEROKU_DATA_HOST choose another endpoint, as in that CLI.
--- Errors carry Heroku's id as `code`: not_found, forbidden, two_factor, ...
local app = require "heroku.app"
local client = require "heroku.client"

local M = {}

--- A client for calls that have no function here.
---@return HerokuClient
M.client = client.new

--- An app by its name or id; raises kind "not_found" when there is none.
---@param name string
---@param opts? table of heroku.client: another endpoint or token
---@return HerokuApp
function M.app(name, opts) return app.find(client.new(opts), name) end

--- Whose token it is.
---@return table account { email, id, ... }
function M.account() return client.new():get("/account", { what = "read the Heroku account" }) end

--- The names of all apps that the token can see.
---@return string[]
function M.apps()
  local names = {}
  for _, found in ipairs(client.new():list "/apps") do names[#names + 1] = found.name end
  return names
end

return M
