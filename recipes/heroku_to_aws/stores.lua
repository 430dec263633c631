--- The stores on both sides, as pg and redis take them: Heroku's over the internet, the new ones through the bastion.
local audit = require "heroku_to_aws.audit"
local errors = require "errors"
local fs = require "fs"
local http = require "http"

local M = {}
local Stores = {}
Stores.__index = Stores

local ROOTS = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

local CACHED = ".hkrun/rds-global-bundle.pem"

--- Where the certificate authorities of RDS are: PGSSLROOTCERT, or where Amazon's bundle was kept; nil when it is yet to be fetched.
local function found_roots()
  local given = os.getenv "PGSSLROOTCERT"
  if given and given ~= "" then return given end
  return fs.exists(CACHED) and CACHED or nil
end

local function fetch_roots(o)
  local answer = http.get(ROOTS, o)
  if not answer:ok() then
    errors.raise { kind = "remote", op = "fetch the certificates of RDS", message = "status " .. answer.status, retry = true }
  end
  return answer
end

--- The certificate authorities of RDS: PGSSLROOTCERT, else Amazon's bundle, fetched once over verified https.
local function rds_roots()
  local path = found_roots()
  if path then return path end
  fs.mkdir_p ".hkrun"
  fetch_roots { to_file = CACHED }
  return CACHED
end

--- The same as PEM text; keeps nothing, so that plan may ask, too.
---@return string
function M.rds_roots()
  local path = found_roots()
  return path and fs.read(path) or fetch_roots({ timeout = 60 }).body
end

--- One ssh session for all. Without a bastion hkrun must run inside the network.
local function via(self)
  if not self.session and self.bastion then self.session = self.bastion:open() end
  return self.session
end

--- Heroku's are read anew each time: Heroku may rotate a URL at any moment.
function Stores:old_postgres() return audit.postgres_source(self.app) end
function Stores:old_redis() return audit.redis_source(self.app, self.facts.redis.pin) end

--- The new ones, their certificates verified against the real names.
function Stores:new_postgres() return { url = self.new.db.url, via = via(self), ca = rds_roots(), sslmode = "verify-full" } end
function Stores:new_redis() return { url = self.new.cache.url, via = via(self) } end

--- Ends the ssh session; the next one that is asked for opens another. Safe twice.
function Stores:close()
  local session = self.session
  self.session = nil
  if session then session:close() end
end
Stores.__close = Stores.close

---@param o { app: HerokuApp, facts: table, new: { db: table?, cache: table? }, bastion: table? }
function M.new(o) return setmetatable({ app = o.app, facts = o.facts, new = o.new, bastion = o.bastion }, Stores) end

-- What may be another on RDS, and is no fault of the copy.
M.OTHER_SERVER = { "database", "role", "extension schema", "extension version" }

return M
