--- A database as it is named on a command line, so that its password need not stand there:
---   heroku:APP[/ATTACHMENT]   what the app's config var says now (DATABASE_URL, or ATTACHMENT_URL)
---   env:NAME                  the URL in an environment variable
---   postgres://...            a URL; without a password libpq looks into PGPASSWORD and ~/.pgpass
local errors = require "errors"
local log = require "log"
local secret = require "secret"

local M = {}

local function heroku(app_name, attachment)
  local app = require("heroku").app(app_name)
  local name = ((attachment or "DATABASE"):gsub("_URL$", "")) .. "_URL"
  local url = app.config[name]
  if not url then
    local names = {}
    for var in pairs(app.config) do if var:find "_URL$" then names[#names + 1] = var end end
    table.sort(names)
    errors.usage("the app %s has no config var %s%s", app.name, name, names[1] and " (it has " .. table.concat(names, ", ") .. ")" or "")
  end
  return { url = url, sslmode = "require" }, app     -- Heroku's certificates are self-signed
end

--- The place as the pg functions take it, and the Heroku app where it is one's.
---@param word string
---@return any endpoint
---@return HerokuApp? app
function M.read(word)
  local app, attachment = word:match "^heroku:([^/]+)/?(.*)$"
  if app then return heroku(app, attachment ~= "" and attachment or nil) end
  local name = word:match "^env:(.+)$"
  if name then
    local url = require("term").env(name)
    if not url or secret.size(url) == 0 then errors.usage("the environment variable %s is not set", name) end
    return url
  end
  if not word:find "^postgres" then
    errors.usage("%s names no database: give heroku:APP, env:NAME of a variable that holds a URL, or postgres://user@host/database", word)
  end
  if word:find "^%w+://[^/@]*:[^/@]+@" then
    log.warn "a password on the command line can be read by everybody on this machine: env:NAME or ~/.pgpass keeps it out of there"
  end
  return word
end

return M
