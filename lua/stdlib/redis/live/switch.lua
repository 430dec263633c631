--- Switches a server's keyspace notifications on, and back to exactly what they were. What they were is on disk before
--- anything is changed, so that whoever comes after a kill puts it back.
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local log = require "log"

local M = {}

local CLASSES = "g$lshztdxe"            -- which "A" stands for

---@class redis.live.Switch
---@field record table? { earlier, set }: what was set before, and by us; nil: nothing was changed
local Switch = {}
Switch.__index = Switch

--- The letters of a setting, "A" spelt out: servers write the same setting in more than one way.
local function letters(setting)
  local set = {}
  for letter in setting:gsub("A", CLASSES):gmatch "." do set[letter] = true end
  return set
end

--- Whether all that one setting tells is told by another.
---@param setting string
---@param wanted string
---@return boolean
function M.covers(setting, wanted)
  local have = letters(setting)
  for letter in pairs(letters(wanted)) do if not have[letter] then return false end end
  return true
end

--- The setting that keeps what there is and tells of every change.
---@param earlier string
---@return string
function M.wanted(earlier)
  return earlier .. (M.covers(earlier, "A") and "" or "A") .. (M.covers(earlier, "E") and "" or "E")
end

--- By the server's own CONFIG, over a connection of its own: at the end there may be no other that works.
---@param source any as redis.open takes it
local function by_config(source)
  local function config(...)
    local r <close> = require "redis".open(source)
    return r:pipeline({ { "CONFIG", ... } }, { keep_errors = true })[1]
  end
  return {
    read = function()
      local reply = config("GET", "notify-keyspace-events")
      return not reply.kind and reply[2] or nil
    end,
    on = function(earlier) return config("SET", "notify-keyspace-events", M.wanted(earlier)) == "OK" end,
    off = function(earlier)
      local reply = config("SET", "notify-keyspace-events", earlier)
      if reply ~= "OK" then errors.raise { kind = reply.kind, code = reply.code, message = reply.message } end
    end,
  }
end

---@param source any as redis.open takes it
---@param given? { read: function?, on: function, off: function }
---@param journal? string the copy's journal; ours stands beside it
---@return redis.live.Switch
function M.new(source, given, journal)
  local self = setmetatable({ path = journal and journal .. ".notifications" }, Switch)
  self.by = given or by_config(source)
  if self.path and fs.exists(self.path) then self.record = json.decode(fs.read(self.path)) end
  return self
end

local function remember(self, record)
  self.record = record
  if self.path then fs.write(self.path, json.encode(record) .. "\n") end
end

local function forget(self)
  self.record = nil
  if self.path and fs.exists(self.path) then fs.remove(self.path) end
end

--- Switches them on where that can be done. Whether they are on only a try tells.
function Switch:on()
  local by = self.by
  if not by.read then
    local earlier = by.on()
    if not self.record then remember(self, { earlier = earlier or "" }) end
    return
  end
  local now = by.read()
  if now == nil then return end
  -- A record of a run that was killed counts for as long as nobody has set anything else since.
  if self.record and not (M.covers(now, self.record.set) and M.covers(self.record.set, now)) then forget(self) end
  local wanted = M.wanted(now)
  if wanted == now then return end
  local fresh = not self.record
  if fresh then remember(self, { earlier = now, set = wanted }) end
  if by.on(now) == false and fresh then forget(self) end
end

--- Whether the setting, where it can be read, has every change told.
---@return boolean
function Switch:is_on()
  local now = self.by.read and self.by.read()
  return now ~= nil and now ~= false and M.covers(now, "AE")
end

--- Puts back what was there. A failure is told, not raised: it must not hide the end of the copy, and the record stays.
function Switch:off()
  if not self.record then return end
  local earlier = self.record.earlier
  local ok, e = pcall(self.by.off, earlier)
  if ok then return forget(self) end
  if errors.is(e, "cancelled") then error(e, 0) end
  log.warn("the keyspace notifications could not be set back to %q: %s", earlier, tostring(e))
end

return M
