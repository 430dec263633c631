--- Errors as values: one sentence that says what was tried, on what, why it
--- failed and what to do.
---
--- Kinds: "usage" (bad input, exit code 2), "cancelled", "timeout", "network",
--- "tls", "auth", "protocol", "not_found", "limit", "invalid", "io", "closed",
--- "remote" (the other side's own error, `code` is its code), "stopped" (the
--- user said no), "read_only" (refused by read-only mode), "bug".
local M = {}

---@class Error
---@field kind string
---@field op? string what was tried, on what: "create the VPC shop"
---@field message string why it failed
---@field code? string|integer the other side's own code
---@field hint? string what to do
---@field cause? any the error underneath
---@field retry? boolean whether trying again can help
---@field tried? string[] what was tried in turn, and why each failed
---@field traceback? string
---@field mistake? errors.Mistake|true of a mistake in the user's own Lua: what to tell of it; true until that is found out
---@field where? string|false the line of the user's own file that it came from: "shop.lua:12"; false where that says nothing

local mt = {}
mt.__index = mt
mt.__name = "hkrun.error"

function mt.__tostring(e)
  local parts = {}
  if e.op then parts[#parts + 1] = "cannot " .. e.op .. ": " end
  parts[#parts + 1] = e.message or e.kind or "failed"
  if e.code and not parts[#parts]:find(tostring(e.code), 1, true) then
    parts[#parts + 1] = " (" .. tostring(e.code) .. ")"
  end
  if e.hint then parts[#parts + 1] = "; " .. e.hint end
  return table.concat(parts)
end

local SAYS_ENOUGH = { stopped = true, locked = true, cancelled = true, read_only = true }

--- An error as a person reads it: its sentence, after the line of the recipe that it came from, where that helps. Of
--- several things that were tried each has a line, unless it is for a log.
---@param e any
---@param for_log? boolean
---@return string
function M.text(e, for_log)
  local message, tried = tostring(e), not for_log and type(e) == "table" and rawget(e, "tried") or {}
  if #tried > 1 then
    message = ("cannot %s:\n  %s%s"):format(e.op, table.concat(tried, "\n  "), e.hint and "\n" .. e.hint or "")
  end
  if not M.is(e) or not e.where or SAYS_ENOUGH[e.kind] or message:find "^%S+:%d+: " then return message end
  return e.where .. ": " .. message
end

--- What to say of an error below its sentence: the line of the user's own Lua that is wrong, and where it was called from.
--- Of a mistake in hkrun itself, and if all is wanted, the traceback.
---@param e any
---@param all? boolean
---@return string[]
function M.story(e, all)
  local found, lines = M.is(e) and (e.mistake or M.is(e.cause) and e.cause.mistake), {}
  if type(found) == "table" then table.move(found.lines, 1, #found.lines, 1, lines) end
  if type(e) == "table" and e.traceback and (all or M.is(e, "bug") and not found) then lines[#lines + 1] = e.traceback end
  return lines
end

--- Makes an error object of a table of fields; a plain string is a message.
---@return Error
function M.new(fields)
  if type(fields) ~= "table" then fields = { message = tostring(fields) } end
  if getmetatable(fields) == mt then return fields end
  fields.kind = fields.kind or (fields.cause and M.kind(fields.cause)) or "bug"
  if not fields.message and fields.cause then
    local cause = fields.cause
    fields.message = type(cause) == "table" and getmetatable(cause) ~= mt and cause.message or tostring(cause)
    if type(cause) == "table" then
      fields.code = fields.code or cause.code
      if fields.retry == nil then fields.retry = cause.retry end
    end
  end
  if fields.where == nil and type(fields.cause) == "table" then fields.where = fields.cause.where end
  return setmetatable(fields, mt)
end

function M.raise(fields)
  error(M.new(fields), 0)
end

--- Raises a caller's mistake: bad input, exit code 2.
function M.usage(fmt, ...)
  error(M.new { kind = "usage", message = select("#", ...) > 0 and fmt:format(...) or fmt }, 0)
end

--- Returns v, or raises err (as host functions return it) with what was tried.
---@param op string "connect to db.example.com:5432"
function M.check(op, v, err, hint)
  if v ~= nil then return v, err end
  if getmetatable(err) == mt then
    if err.op then error(err, 0) end
    err.op = op
    error(err, 0)
  end
  err = err or { kind = "bug", message = "no reason was given" }
  error(M.new { op = op, kind = err.kind, message = err.message, code = err.code,
                retry = err.retry, hint = hint or err.hint, cause = err }, 0)
end

--- Whether e is an error object (of that kind).
function M.is(e, kind)
  return getmetatable(e) == mt and (kind == nil or e.kind == kind)
end

function M.kind(e)
  return type(e) == "table" and e.kind or "bug"
end

--- The exit code that an error ends a command with.
function M.exit_code(e)
  local kind = M.kind(e)
  return kind == "usage" and 2 or kind == "cancelled" and 130 or 1
end

--- The innermost line of the user's on the stack.
local function place()
  local level = 3
  local frame = debug.getinfo(level, "Sl")
  while frame do
    local found = require("errors.mistake").place(frame.source, frame.currentline)
    if found then return frame.source:sub(1, 1) == "@" and found or false end
    level = level + 1
    frame = debug.getinfo(level, "Sl")
  end
end

--- Gives an error whose place is not known that of a function: one that ends in a call is no longer on the stack.
---@param e any
---@param fn function that raised it
function M.place(e, fn)
  if not M.is(e) or e.where ~= nil then return end
  local info = debug.getinfo(fn, "S")
  e.where = info.source:sub(1, 1) == "@" and require("errors.mistake").place(info.source, info.linedefined) or nil
end

--- What is to be said of an error that Lua raised: whose mistake it is, and where.
local function of_lua(e)
  local message = tostring(e)
  if type(e) == "table" and message:find "^table: " then message = "error was called with a table" end
  local ok, found = pcall(require("errors.mistake").of, message, 5)       -- of, pcall, this, the handler; then who raised it
  found = ok and found or nil
  return M.new { kind = found and found.kind or "bug", message = found and found.message or message, where = found and found.where, mistake = found }
end

--- A message handler for xpcall: keeps the traceback for -v, and the line of the recipe.
function M.handler(e)
  if getmetatable(e) ~= mt then e = of_lua(e) end
  if e.mistake == true then                                  -- whose sentence is known
    local ok, found = pcall(require("errors.mistake").here, 4)
    e.mistake = ok and found or nil
    if e.mistake then e.where = e.mistake.where end
  end
  if e.where == nil then e.where = place() end
  e.traceback = e.traceback or debug.traceback("", 2)
  return e
end

return M
