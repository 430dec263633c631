--- What the REPL and `-e` share: an environment in which the modules are at hand, and how its results are shown.
local log = require "log"
local mistake = require "errors.mistake"
local secret = require "secret"
local term = require "term"

local M = {}

local modules = {}
for name in ("aws csv dns eb errors fs heroku http json list log pg process procfile recipe redis retry secret show sign ssh task term text xml "
  .. "yaml zip"):gmatch "%S+" do modules[name] = true end

--- The names of the modules that are at hand.
M.modules = modules

--- Words at hand beside the modules: where each comes from.
local words = {
  tag = function() return require("list").tag end,
  unfold = function() return require("show").unfold end,
  save = function() return require("show.save").save end,
  days_ago = function() return M.days_ago end,
  help = function() return function(value) M.say(require("repl.help").text(value)) end end,
}
M.words = words

--- The time some days before now, as AWS takes and answers times: seconds since 1970. os.date("!%F", days_ago(1)) is
--- yesterday's date.
---@param days number
---@return integer
function M.days_ago(days) return os.time() - math.floor(days * 86400) end

--- A table of globals: Lua's own, and hkrun's modules, each loaded when it is first named.
---@return table
function M.environment()
  local env = {}
  return setmetatable(env, {
    __index = function(_, name)
      local found = modules[name] and require(name) or words[name] and words[name]()
      if found then
        rawset(env, name, found)
        return found
      end
      return rawget(_G, name)
    end,
  })
end

--- Compiles an expression or statements.
---@param code string
---@param env table
---@param name string
---@return function|nil chunk
---@return Error|nil err
function M.compile(code, env, name)
  mistake.typed[name] = code
  local chunk, err = load("return " .. code, name, "t", env)
  if not chunk then chunk, err = load(code, name, "t", env) end
  if not chunk then return nil, mistake.error(err, name) end
  return chunk
end

--- Whether code breaks off: more lines could make it whole.
---@param code string
---@return boolean
function M.is_incomplete(code)
  local as_value, err = load("return " .. code, "=code", "t")
  if as_value then return false end
  local as_statement, other = load(code, "=code", "t")
  return not as_statement and (err:find "<eof>'?$" or other:find "<eof>'?$") ~= nil
end

--- What standard output allows: its width, or that of COLUMNS, and colours.
---@return show.Options
function M.look()
  local columns = math.tointeger(tonumber(os.getenv "COLUMNS"))
  if not term.is_tty(1) then return { width = columns } end
  return { width = term.size() or columns or 80, color = log.color_wanted(1) }
end

--- A value for people: a table that fits the terminal.
---@param v any
---@return string
function M.show(v) return require("show").value(v, M.look()) end

--- A value for programs: text as it is, all else JSON.
---@param v any
---@return string
function M.json(v)
  if type(v) == "string" or secret.is(v) then return tostring(v) end
  return require "json"(v)
end

function M.say(line) log.data(line) end

--- Prints what code returned. Of a table and more, the table: what follows it (an
--- AWS call's headers and request id) is for code that asks for it.
---@param results table as of table.pack
---@param show_one fun(v: any): string
---@param say? fun(line: string) instead of printing
function M.print(results, show_one, say)
  local n = type(results[1]) == "table" and 1 or results.n
  for i = 1, n do (say or M.say)(show_one(results[i])) end
end

return M
