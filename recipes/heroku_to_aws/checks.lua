--- What the recipe's options must look like: each answers nil, or why not.
local cidr = require "aws.common.cidr"
local downtime = require "heroku_to_aws.downtime"
local fs = require "fs"

local M = {}

local function why(fn, v)
  local ok, e = pcall(fn, v)
  if not ok then return (e.message:gsub("^" .. v:gsub("%p", "%%%0"), "it")) end
end

--- The range of a VPC.
function M.vpc(v) return why(cidr.vpc, v) end

--- Who may reach the bastion by ssh: an address or a small range, never everybody.
function M.ssh_range(v)
  local wrong = why(cidr.parse, v)
  if wrong then return wrong end
  local bits = cidr.parse(v).bits
  if bits == 0 then return "it would let the whole internet try to log in; give your own address, like 203.0.113.7/32" end
  if bits < 16 then return "it is too wide for ssh: give a range of /16 or narrower, best your own address with /32" end
end

function M.email(v)
  if not v:find "^[^%s@]+@[^%s@]+%.[^%s@]+$" then return "it is not an e-mail address" end
end

function M.path(v)
  if not v:find "^/[^%s]*$" then return "it is not a path: it begins with /" end
end

function M.folder(v)
  local found = fs.stat(v)
  if not found then return "there is no such folder" end
  if found.type ~= "dir" and found.type ~= "folder" then return "it is not a folder" end
end

function M.file(v)
  local found = fs.stat(v)
  if not found then return "there is no such file" end
  if found.type ~= "file" then return "it is not a file" end
end

function M.duration(v)
  if not downtime.parse(v) then return "it is not a time like 90s, 20m or 1h30m" end
end

--- A name that may stand in the names of all that is made.
function M.name(v)
  if not v:find "^%l[%l%d-]*$" or #v < 4 or #v > 32 or v:find "%-$" or v:find "%-%-" then
    return "it cannot be a name: 4 to 32 lower-case letters, digits and single hyphens, a letter first"
  end
end

return M
