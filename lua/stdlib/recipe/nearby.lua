--- How `hkrun status --watch` on the same machine learns how far things have come: beside a journal that is a file it keeps
--- a file NAME.watch alive, and as long as it does, the run writes what runs now into NAME.progress, once a second. Nothing
--- is written where nobody watches, and neither file means anything once it is old.
local fs = require "fs"
local json = require "json"
local log = require "log"
local loop = require "host.loop"
local task = require "task"

local M = { FRESH = 5 }                                      -- seconds
local Nearby = {}
Nearby.__index = Nearby

local PRIVATE = 384                                          -- 0600

local function is_fresh(path)
  local st = fs.stat(path)
  return st ~= nil and loop.time() - st.mtime < M.FRESH
end

--- Written whole or not at all; it need not outlive a crash of the machine.
local function put(path, bytes)
  local tmp = path .. ".tmp"
  if fs.exists(tmp) then fs.remove(tmp) end
  fs.append(tmp, bytes, PRIVATE)
  fs.rename(tmp, path)
end

local function remove(path)
  if fs.exists(path) then pcall(fs.remove, path) end
end

local function look(self)
  if not is_fresh(self.base .. ".watch") then
    if self.wrote then remove(self.base .. ".progress") end
    self.wrote = false
    return
  end
  put(self.base .. ".progress", json.encode { t = loop.time(), items = json.array(log.items()) } --[[@as string]])
  self.wrote = true
end

--- The writing side, a listener of recipe/tell.lua.
---@return table
function M.new() return setmetatable({}, Nearby) end

function Nearby:take(rec, of)
  if rec.ev ~= "run" or not of or not of.store.base or self.ticker then return end
  self.base = of.store.base
  self.ticker = task.spawn(function()
    while true do
      local ok = pcall(look, self)                           -- a full disk is the journal's matter
      task.sleep(ok and 1 or M.FRESH)
    end
  end)
end

function Nearby:finish()
  if not self.ticker then return end
  local ticker = self.ticker
  self.ticker = nil
  ticker:cancel()
  task.shield(function() pcall(ticker.join, ticker) end)
  if self.wrote then remove(self.base .. ".progress") end
end

--- The reading side: keeps the run writing.
---@param base string
function M.ask(base) pcall(put, base .. ".watch", "") end

---@param base string
function M.leave(base) remove(base .. ".watch") end

--- What runs now, as log.items() answers it; nil where nobody says.
---@param base string
---@return table[]?
function M.read(base)
  local path = base .. ".progress"
  if not is_fresh(path) then return nil end
  local ok, bytes = pcall(fs.read, path)
  local t = ok and json.decode(bytes)
  if type(t) ~= "table" or type(t.items) ~= "table" or type(t.t) ~= "number" then return nil end
  for _, item in ipairs(t.items) do item.seconds = (item.seconds or 0) + loop.time() - t.t end
  return t.items
end

return M
