--- A certificate authority in a folder: servers of tests and rehearsals get
--- their TLS certificates from it.
local fs = require "fs"
local sign = require "sign"

local M = {}

---@class Ca
---@field file string path of the CA's certificate, for clients
---@field pem string the same, as text
local Ca = {}
Ca.__index = Ca

--- Makes an authority. Its key stays in memory, so it ends with the process.
---@param dir string made if it is not there
---@param name? string
---@return Ca
function M.new(dir, name)
  fs.mkdir_p(dir)
  local pair = sign.make_ca { name = name or "hkrun rehearsal CA" }
  local self = setmetatable({ dir = dir, pair = pair, pem = pair.cert, file = fs.join(dir, "ca.pem") }, Ca)
  fs.write(self.file, pair.cert, tonumber("644", 8))
  return self
end

--- Issues a server's certificate and writes both files; only `owner` (else the
--- user who runs this) can read the key.
---@param o { name: string, names: string[]?, ips: string[]?, dir: string?, owner: string? } names default to { name }
---@return { cert: string, key: string } paths
function Ca:issue(o)
  local dir = o.dir or self.dir
  fs.mkdir_p(dir)
  local pair = sign.issue_cert(self.pair, { name = o.name, names = o.names, ips = o.ips })
  local stem = fs.join(dir, (o.name:gsub("[^%w.-]", "_")))
  local files = { cert = stem .. ".crt", key = stem .. ".key" }
  fs.write(files.cert, pair.cert, tonumber("644", 8))
  fs.write(files.key, pair.key, tonumber("600", 8))
  if o.owner then
    fs.chown(files.cert, o.owner)
    fs.chown(files.key, o.owner)
  end
  return files
end

return M
