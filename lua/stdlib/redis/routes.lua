--- The map of a cluster: which node has which slot, and a connection to each.
local connection = require "redis.connection"
local errors = require "errors"
local failure = require "redis.failure"
local task = require "task"

local M = {}

---@class redis.Routes
---@field text string the map in words; another text is another map
---@field stale boolean whether it is to be read again
local Routes = {}
Routes.__index = Routes

---@param e table the endpoint that the cluster was opened with: the way to the others is as its own
---@param o table options of the connections
function M.new(e, o)
  return setmetatable({ endpoint = e, options = o, seed = e.label, by_slot = {}, order = {}, open = {}, text = "", stale = true, read = 0,
    turn = 0, closed = false },
    Routes)
end

--- "host:port" as the cluster writes it; without a host it is that of the node that was asked.
function Routes:named(address, asked)
  local host, port = address:match "^(.-):(%d+)@?%d*$"
  if host == "" or host == "?" then host = asked:match "^(.*):" end
  return host .. ":" .. port
end

--- The connection to a node, which is opened when it is first needed.
---@return redis.Connection
function Routes:node(name)
  local conn = self.open[name]
  if conn then return conn end
  if self.closed then failure.raise(self.seed, "use the cluster of", { kind = "closed", code = "closed", message = "it is closed" }) end
  local host, port = name:match "^(.*):(%d+)$"
  local e = {}
  for k, v in pairs(self.endpoint) do e[k] = v end
  e.host, e.port, e.label = host, math.tointeger(tonumber(port)), name
  conn = connection.open(e, self.options)
  self.open[name] = conn
  return conn
end

--- The node of a slot; without a slot any one, and another after skip().
function Routes:at(slot)
  if slot == nil then return self.order[self.turn % math.max(1, #self.order) + 1] or self.seed end
  local name = self.by_slot[slot]
  if not name then
    self.stale = true
    failure.raise(self.seed, "find a node in the cluster of", { kind = "remote", code = "CLUSTERDOWN", retry = true,
      message = ("no node has slot %d"):format(slot) })
  end
  return name
end

function Routes:skip()
  self.turn, self.stale = self.turn + 1, true
end

function Routes:names() return self.order end

--- A node said that another one has the slot.
function Routes:moved(slot, address, asked)
  self.by_slot[slot] = self:named(address, asked)
  if task.now() - self.read > 1 then self.stale = true end                  -- more may have moved; during a long move not each time
end

--- Takes in what CLUSTER SLOTS answered: { first, last, { host, port, ... }, replicas ... }.
function Routes:take(reply, asked)
  local by_slot, first_of, order, lines = {}, {}, {}, {}
  for _, range in ipairs(reply) do
    local host, port = range[3][1], range[3][2]
    local name = self:named(("%s:%d"):format(host or "", port), asked)
    for slot = range[1], range[2] do by_slot[slot] = name end
    if not first_of[name] or first_of[name] > range[1] then first_of[name] = range[1] end
    lines[#lines + 1] = ("%05d-%05d %s"):format(range[1], range[2], name)
  end
  for name in pairs(first_of) do order[#order + 1] = name end
  table.sort(order, function(a, b) return first_of[a] < first_of[b] end)
  table.sort(lines)
  self.by_slot, self.order, self.text, self.stale, self.read = by_slot, order, table.concat(lines, "\n"), false, task.now()
  for name, conn in pairs(self.open) do
    if not first_of[name] then conn:close() self.open[name] = nil end
  end
end

--- Asks the nodes in turn where the slots are; the first that knows is believed.
function Routes:refresh()
  local names, tried, failed = { table.unpack(self.order) }, {}, nil
  names[#names + 1] = self.seed
  for _, name in ipairs(names) do
    if not tried[name] then
      tried[name] = true
      local ok, reply = pcall(function() return self:node(name):command("CLUSTER", "SLOTS") end)
      if ok and #reply > 0 then return self:take(reply, name) end
      if not ok and (not errors.is(reply) or reply.kind == "cancelled") then error(reply, 0) end
      failed = failed or not ok and reply or nil
    end
  end
  error(failed or errors.new { kind = "remote", code = "CLUSTERDOWN", op = "find the nodes of Redis cluster " .. self.seed, retry = true,
    message = "no node has a slot" }, 0)
end

function Routes:refresh_if_stale()
  if not self.stale then return end
  local ok, e = pcall(self.refresh, self)
  if not ok and (not errors.is(e) or e.kind == "cancelled") then error(e, 0) end       -- else the old map goes on, until the time is over
end

function Routes:close()
  for _, conn in pairs(self.open) do conn:close() end
  self.open, self.closed = {}, true
end

return M
