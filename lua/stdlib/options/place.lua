--- A server as it is named on a command line, so that its password need not stand there:
---   heroku:APP[/ATTACHMENT]   what the app's config var says now (DATABASE_URL or REDIS_URL, or ATTACHMENT_URL)
---   env:NAME                  the URL in an environment variable
---   file:PATH                 the URL in a file
---   postgres://..., redis://...   the URL itself
local errors = require "errors"
local log = require "log"
local secret = require "secret"

local M = {}

---@class options.PlaceKind
---@field noun string what it is: "database"
---@field variable string the attachment that Heroku gives it: "DATABASE"
---@field scheme string what its URLs begin with
---@field example string a URL
---@field without string where else the password may stand
---@field heroku table fields of the endpoint for a server of Heroku's

local function heroku(app_name, attachment, kind)
  local app = require("heroku").app(app_name)
  local name = ((attachment or kind.variable):gsub("_URL$", "")) .. "_URL"
  local url = app.config[name]
  if not url then
    local names = {}
    for var in pairs(app.config) do if var:find "_URL$" then names[#names + 1] = var end end
    table.sort(names)
    errors.usage("the app %s has no config var %s%s", app.name, name, names[1] and " (it has " .. table.concat(names, ", ") .. ")" or "")
  end
  local endpoint = { url = url }
  for field, value in pairs(kind.heroku) do endpoint[field] = value end
  return endpoint, app
end

local function from_file(path)
  local url = require("fs").read(path):match "^%s*(%S+)%s*$"
  return secret.new(url or errors.usage("the file %s does not hold one URL", path))
end

--- The place as the functions of its module take it, and the Heroku app where it is one's.
---@param word string
---@param kind options.PlaceKind
---@return any endpoint
---@return HerokuApp? app
function M.read(word, kind)
  local app, attachment = word:match "^heroku:([^/]+)/?(.*)$"
  if app then return heroku(app, attachment ~= "" and attachment or nil, kind) end
  local name = word:match "^env:(.+)$"
  if name then
    local url = require("term").env(name)
    if not url or secret.size(url) == 0 then errors.usage("the environment variable %s is not set", name) end
    return url
  end
  local path = word:match "^file:(.+)$"
  if path then return from_file(path) end
  if word:sub(1, #kind.scheme) ~= kind.scheme then
    errors.usage("%s names no %s: give heroku:APP, env:NAME of a variable that holds a URL, file:PATH, or %s", word, kind.noun, kind.example)
  end
  if word:find "^%w+://[^/@]*:[^/@]+@" then
    log.warn("a password on the command line can be read by everybody on this machine: %s keeps it out of there", kind.without)
  end
  return word
end

--- An endpoint with what options say of the way to it: `via` is [USER@]HOST. The ssh session joins those to close.
---@param where any
---@param way { via: string?, pin: string?, ca: string?, insecure: boolean? }
---@param sessions table[]
function M.through(where, way, sessions)
  if not next(way) then return where end
  local endpoint = {}
  if type(where) == "table" then for k, v in pairs(where) do endpoint[k] = v end else endpoint.url = where end
  for k, v in pairs(way) do endpoint[k] = v end
  if way.via then
    local user, host = way.via:match "^([^@]+)@(.+)$"
    endpoint.via = require("ssh").open { host = host or way.via, user = user }
    sessions[#sessions + 1] = endpoint.via
  end
  return endpoint
end

return M
