--- What the parts of Route 53 share: its zones, names as it writes them, changes.
local sign = require "sign"
local wire = require "rehearsal.wire"

local M = {}

local SPREAD = 30                       -- simulated seconds until a change is with all name servers

local ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

--- An id as Route 53 has them: "Z" or "C" and twenty characters.
function M.id(letter)
  local bytes, out = sign.random(20), { letter }
  for i = 1, #bytes do
    local n = bytes:byte(i) % #ALPHABET + 1
    out[i + 1] = ALPHABET:sub(n, n)
  end
  return table.concat(out)
end

--- A name as Route 53 lists it: lower case, a dot at its end, what is no letter, digit, hyphen, underscore or dot as \ooo.
function M.name(name)
  name = name:lower():gsub("%.?$", ".", 1)
  return (name:gsub("[^%w%-_.\\]", function(c) return ("\\%03o"):format(c:byte()) end))
end

--- The same as the DNS has it.
function M.plain(name)
  return (name:gsub("\\(%d%d%d)", function(octal) return string.char(tonumber(octal, 8)) end):gsub("%.$", ""))
end

function M.state(cloud)
  local store = cloud:store "route53"
  store.zones, store.changes = store.zones or {}, store.changes or {}
  return store
end

--- The zone of an id, with or without "/hostedzone/" before it.
function M.zone(cloud, id)
  id = id:match "([^/]+)$" or id
  return M.state(cloud).zones[id] or wire.fail("NoSuchHostedZone", 404, "No hosted zone found with ID: %s", id)
end

local function show(change)
  return { Id = "/change/" .. change.id, Status = change.status, SubmittedAt = change.at, Comment = change.comment }
end
M.show_change = show

--- A change: what it brings about reaches the name servers after a while.
---@param fn? fun() what is to be seen in the DNS from then on
function M.change(cloud, comment, fn)
  local change = { id = M.id "C", status = "PENDING", at = cloud.clock:now(), comment = comment }
  M.state(cloud).changes[change.id] = change
  cloud:after(SPREAD, function()
    if fn then fn() end
    change.status = "INSYNC"
  end)
  return show(change)
end

return M
