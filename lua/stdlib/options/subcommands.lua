--- Commands such as `hkrun pg copy FROM TO`: functions of a module, with their own options as flags, on servers that are
--- named as place.lua says. Exit codes: 0; 1 where the result is not good or the function failed; 2 for a wrong command line.
local errors = require "errors"
local flags = require "options.flags"
local json = require "json"
local log = require "log"
local options = require "options"
local place = require "options.place"

local M = {}

--- Lines with aligned columns; the last column is not padded.
---@param rows string[][]
---@return string[] lines
---@return integer[] widths
function M.columns(rows)
  local width = {}
  for _, row in ipairs(rows) do
    for i = 1, #row - 1 do width[i] = math.max(width[i] or 0, #row[i]) end
  end
  local lines = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for j = 1, #row do cells[j] = j < #row and row[j] .. (" "):rep(width[j] - #row[j]) or row[j] end
    lines[i] = table.concat(cells, "  ")
  end
  return lines, width
end

---@param n integer
---@param what string
function M.plural(n, what) return ("%s %s%s"):format(log.amount(n), what, n == 1 and "" or "s") end

--- The items of a list alone: some results have fields beside them.
---@param list any[]
function M.items(list) return json.array(table.move(list, 1, #list, 1, {})) end

---@class options.Subcommand
---@field help string
---@field usage string its words: "FROM TO"
---@field least integer how many of them there must be
---@field most? integer 2
---@field module string whose OPTIONS are those of the function
---@field fixed table<any, boolean> options that the command gives itself
---@field ends string[] "from", "to": what --from-via and its like begin with, by the place of the word; "" for all
---@field run fun(o: table, places: any[], apps: table[]): any
---@field print fun(result: any)
---@field plain fun(result: any): any what --json prints
---@field is_good fun(result: any): boolean

local function usage(group)
  log.out("usage: hkrun %s %s %s [--option value ...]", group.name, table.concat(group.names, "|"), group.usage)
  for _, name in ipairs(group.names) do log.out("  %-7s %s", name, group.commands[name].help) end
  for _, line in ipairs(group.about) do log.out("%s", line) end
  log.out("\n`hkrun %s %s --help` lists the options of %s.", group.name, group.names[1], group.names[1])
  return 0
end

local function flag_name(side, name) return side == "" and name or side .. "_" .. name end

--- All flags of a command; the function's own are the first `n`.
local function declared(group, command)
  local list = flags.of(require(command.module).OPTIONS, command.fixed)
  local n = #list
  list[#list + 1] = { "json", "the result as JSON", type = "boolean" }
  list[#list + 1] = { "help", "this help", type = "boolean" }
  for _, side in ipairs(command.ends) do
    for _, way in ipairs(group.ways) do list[#list + 1] = { flag_name(side, way[1]), way[2], type = way.type } end
  end
  return list, n
end

local function help(group, name)
  local command = group.commands[name]
  local list, n = declared(group, command)
  log.out("usage: hkrun %s %s %s [--option value ...]", group.name, name, command.usage)
  log.out("%s", command.help)
  for _, line in ipairs(group.about) do log.out("%s", line) end
  log.out ""
  for _, line in ipairs(flags.help(table.move(list, 1, n, 1, {}))) do log.out("%s", line) end
  return 0
end

--- What the flags say of the way to each end; they are taken out of the options.
local function take_ways(group, command, o)
  local ways = {}
  for i, side in ipairs(command.ends) do
    ways[i] = {}
    for _, way in ipairs(group.ways) do
      local name = flag_name(side, way[1])
      ways[i][way[1]], o[name] = o[name], nil
    end
  end
  return ways
end

local function run(group, args)
  local name = args[1]
  if not name or name == "--help" or name == "-h" or name == "help" then return usage(group) end
  local command = group.commands[name] or errors.usage("hkrun %s has no command %s%s", group.name, name, options.suggestion(name, group.names))
  for _, word in ipairs(args) do if word == "-h" then return help(group, name) end end
  local o, words = flags.parse(table.move(args, 2, #args, 1, {}), (declared(group, command)))
  if o.help then return help(group, name) end
  if #words < command.least or #words > (command.most or 2) then
    errors.usage("usage: hkrun %s %s %s [--option value ...]", group.name, name, command.usage)
  end
  local is_json = o.json
  o.json = nil
  local ways = take_ways(group, command, o)
  for i = #words + 1, #ways do
    local given = next(ways[i])
    if given then errors.usage("--%s-%s needs the %s %s", command.ends[i], given, group.place.noun, command.ends[i]:upper()) end
  end
  local sessions <close> = setmetatable({}, { __close = function(list) for _, session in ipairs(list) do session:close() end end })
  local places, apps = {}, {}
  for i, word in ipairs(words) do
    local where
    where, apps[i] = place.read(word, group.place)
    places[i] = place.through(where, ways[math.min(i, #ways)], sessions)
  end
  local result = command.run(o, places, apps)
  if is_json then log.data(json.encode(command.plain(result), { pretty = true })) else command.print(result) end
  return command.is_good(result) and 0 or 1
end

---@class options.Subcommands
---@field name string
---@field names string[] in the order of the help
---@field commands table<string, options.Subcommand>
---@field usage string
---@field about string[] lines of every help
---@field place options.PlaceKind
---@field ways table[] options that say how a server is reached: "via" is --from-via

--- The main function of a command.
---@param group options.Subcommands
---@return fun(args: string[]): integer
function M.main(group) return function(args) return run(group, args) end end

return M
