--- hkrun repl: lines of Lua with the modules at hand. On a terminal with completion, search and history; read-only until
--- `:write on`. Ctrl-C ends the call that runs, or the line that is typed, and nothing else.
local aws = require "aws"
local commands = require "repl.commands"
local config = require "aws.config"
local errors = require "errors"
local log = require "log"
local pager = require "repl.pager"
local readonly = require "readonly"
local shell = require "shell"
local task = require "task"
local term = require "term"

---@class repl.Session
---@field env table             the globals of the code
---@field input? repl.Input     on a terminal
---@field entries integer       how many there were
---@field time? boolean
---@field json? boolean
---@field over? boolean
local Session = {}
Session.__index = Session

--- Prints text, a screen at a time on a terminal. A Ctrl-C meanwhile is the pager's.
function Session:page(text)
  local input = self.input
  self.paging = true
  local ok, e = pcall(pager.show, text, input and function(prompt) return input:key(prompt) end)
  self.paging = false
  if not ok then error(e, 0) end
end

--- A failure in one sentence; where it happened with -v.
local function complain(e)
  log.out("%s", errors.is(e, "cancelled") and "cancelled" or errors.text(e, not term.is_tty(1)))
  for _, line in ipairs(errors.story(e, log.verbose)) do log.data(line) end
end

--- Runs code, prints what it returns, keeps the first value as `_`.
---@param code string
---@param timed? boolean whether to say how long it took
function Session:evaluate(code, timed)
  self.entries = self.entries + 1
  local chunk, err = shell.compile(code, self.env, "=repl " .. self.entries)
  if not chunk then return complain(err) end
  local began = task.now()
  local r = table.pack(xpcall(chunk, errors.handler))
  local seconds = task.now() - began
  if not r[1] then complain(r[2])
  else
    if r.n > 1 then self.env._ = r[2] end
    local lines = {}
    shell.print(table.pack(table.unpack(r, 2, r.n)), self.json and shell.json or shell.show,
      function(line) lines[#lines + 1] = line end)
    if lines[1] then self:page(table.concat(lines, "\n")) end
  end
  if timed or self.time then log.out("%.3f seconds", seconds) end
  if not r[1] and errors.is(r[2], "cancelled") and not self.input then error(r[2], 0) end
end

--- Runs fn as the task that Ctrl-C ends; the end of the session ends it too.
function Session:guard(fn)
  local job = task.spawn(fn)
  self.job, self.asked = job, false
  local r = table.pack(pcall(job.join, job))
  self.job = nil
  if not job.done then
    job:cancel()
    task.shield(function() pcall(job.join, job) end)
    error(r[2], 0)
  end
  return table.unpack(r, 1, r.n)
end

function Session:interrupted()
  local job = self.job
  if not job or self.paging then return end
  if self.asked then job:cancel_again() else job:cancel() end
  self.asked = true
end

--- "prod eu-west-1 read-only> "
function Session.prompt()
  local words = {}
  local used = aws.used()
  local profile, chosen = config.profile_name(used.profile)
  if chosen then words[1] = profile end
  local known, region = pcall(config.region, used.region, used.profile)
  words[#words + 1] = known and region or nil
  words[#words + 1] = readonly.is_on() and "read-only" or "write"
  return table.concat(words, " ") .. "> "
end

--- What a newcomer types first.
local BARE = { help = "help()", ["?"] = "help()", quit = ":quit", exit = ":quit" }

function Session:run_entry(entry)
  local word = entry:match "^%s*(%S+)%s*$"
  if BARE[word] and (word == "help" or rawget(self.env, word) == nil) then entry = BARE[word] end
  if not commands.is_command(entry) then return self:evaluate(entry) end
  local r = table.pack(xpcall(commands.run, errors.handler, self, entry))
  if not r[1] then complain(r[2]) end
end

--- On a terminal.
function Session:converse()
  local input <close> = errors.check("use the terminal", require("repl.input").new(require("repl.history").open(), function(text)
    return commands.complete(text) or require("repl.complete").at(self.env, text)
  end))
  self.input = input
  log.out "hkrun: Lua with aws, heroku, pg, redis, ssh at hand."
  log.out "help() and :help tell more, Tab completes, Ctrl-D leaves."
  task.on_interrupt(function() self:interrupted() end)
  local done <close> = setmetatable({}, { __close = function() task.on_interrupt(nil) end }) -- luacheck: ignore 211
  while not self.over do
    local ok, entry = self:guard(function() return input:read(self.prompt()) end)
    if ok and entry == nil then
      log.out ""
      break
    elseif ok and entry:find "%S" then
      local ran, e = self:guard(function()
        task.interruptible(function() self:run_entry(entry) end)
      end)
      if not ran then complain(e) end
    elseif not ok and not errors.is(entry, "cancelled") then error(entry, 0)
    end
  end
end

--- Lines from a pipe.
function Session:listen()
  local pending
  for line in io.lines() do
    local entry = pending and pending .. "\n" .. line or line
    if not commands.is_command(entry) and shell.is_incomplete(entry) then pending = entry
    else
      pending = nil
      if entry:find "%S" then self:run_entry(entry) end
      if self.over then return end
    end
  end
  if pending then self:run_entry(pending) end
end

local USAGE = [[
usage: hkrun [repl]
Reads lines of Lua with aws, heroku, pg, redis, ssh and the other modules at hand, and prints what they return. On a
terminal it is read-only until `:write on`; Tab completes, help() and :help tell more, Ctrl-D leaves.]]

return {
  help = "lines of Lua with aws, heroku, pg, redis, ssh at hand",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then
      log.out("%s", USAGE)
      return 0
    end
    local session = setmetatable({ env = shell.environment(), entries = 0 }, Session)
    session.env.help = function(value) session:page(require("repl.help").text(value)) end
    commands.begin()
    if term.is_tty(0) then session:converse() else session:listen() end
    return 0
  end,
}
