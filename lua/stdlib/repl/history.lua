--- The REPL's history: a file that only its owner can read, one entry a line, without what names or holds a secret.
local errors = require "errors"
local fs = require "fs"
local log = require "log"

local M = {}

local KEEP = 1000

--- HKRUN_HISTORY (empty: no file), else the XDG state folder.
---@return string?
function M.path()
  local own = os.getenv "HKRUN_HISTORY"
  if own then return own ~= "" and own or nil end
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if state and state ~= "" then return state .. "/hkrun/history" end
  return home and home ~= "" and home .. "/.local/state/hkrun/history" or nil
end

local WORDS = { "secret", "password", "passwd", "passphrase", "passcode", "pgpass", "pwd", "token", "api_?key", "apikey", "api%-key",
  "access_?key", "private_?key", "credential", "authorization", "bearer", "%-%-%-%-%-begin", "hrku%-" }

--- Whether a word is long and mixed enough to be a key: AWS's secret keys have 40 characters, tokens 32 and more.
local function looks_random(word)
  local _, digits = word:gsub("%d", "")
  if #word >= 32 and not word:find "/" and digits >= 2 and word:find "%a" then return true end
  return #word >= 40 and digits >= 1 and word:find "%l" ~= nil and word:find "%u" ~= nil
end

--- Whether an entry stays out of the history.
---@param entry string
---@return boolean
function M.is_private(entry)
  if entry:find "^%s" or not entry:find "%S" then return true end
  local lower = entry:lower()
  for _, word in ipairs(WORDS) do if lower:find(word) then return true end end
  if entry:find "A[KS]IA%u%w%w%w%w%w%w%w%w%w%w" or entry:find "%w://[^%s/@]*:[^%s@]*@" then return true end
  for word in entry:gmatch "[%w+/=_-]+" do
    if looks_random(word) then return true end
  end
  return false
end

local function encode(entry) return (entry:gsub("\\", "\\\\"):gsub("\n", "\\n")) end

local function decode(line)
  return (line:gsub("\\(.)", function(c) return c == "n" and "\n" or c end))
end

local History = {}
History.__index = History

--- Does what needs the file. Where that fails, the history of this session is in memory only, and says so once.
function History:try(fn)
  if not self.path then return end
  local ok, e = pcall(fn)
  if ok then return end
  if not errors.is(e) or e.kind == "cancelled" then error(e, 0) end
  log.warn("the history is not kept: %s", tostring(e))
  self.path = nil
end

--- Opens the history: `entries`, the oldest first.
---@return table history
function M.open()
  local self = setmetatable({ path = M.path(), entries = {} }, History)
  self:try(function()
    if not fs.exists(self.path) then return end
    local lines = {}
    for line in fs.read(self.path):gmatch "[^\n]+" do lines[#lines + 1] = line end
    for i = math.max(1, #lines - KEEP + 1), #lines do self.entries[#self.entries + 1] = decode(lines[i]) end
    if #lines > 2 * KEEP then self:rewrite() end
  end)
  return self
end

function History:rewrite()
  local lines = {}
  for i, entry in ipairs(self.entries) do lines[i] = encode(entry) .. "\n" end
  fs.write(self.path, table.concat(lines), 384)
end

--- Adds an entry and writes it down; false for one that stays out, or is the same as the last.
---@param entry string
---@return boolean added
function History:add(entry)
  if M.is_private(entry) or entry == self.entries[#self.entries] then return false end
  self.entries[#self.entries + 1] = entry
  self:try(function()
    if not fs.exists(self.path) then fs.mkdir_p(self.path:match "^(.*)/" or ".", 448) end
    fs.append(self.path, encode(entry) .. "\n", 384)
    fs.chmod(self.path, 384)
  end)
  return true
end

--- The newest entry, of those before number `from`, that contains a text.
---@param text string
---@param from? integer
---@return integer? number
function History:find(text, from)
  for i = (from or #self.entries + 1) - 1, 1, -1 do
    if self.entries[i]:find(text, 1, true) then return i end
  end
end

return M
