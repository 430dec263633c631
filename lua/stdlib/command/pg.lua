--- hkrun pg check|copy|same FROM TO: the functions of the module pg, with their own options as flags. Exits with 1 where
--- a check finds an error, the databases differ or a copy failed, with 2 where the command line is wrong.
local errors = require "errors"
local flags = require "options.flags"
local json = require "json"
local log = require "log"
local options = require "options"
local pg = require "pg"
local place = require "pg.place"

local COLORS = { error = "red", warning = "yellow", info = "bold" }

--- Lines with aligned columns; the last column is not padded.
local function columns(rows)
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

local function plural(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

--- The items of a list alone: some results have fields beside them.
local function items(list) return json.array(table.move(list, 1, #list, 1, {})) end

local function print_findings(list)
  local rows, bad = { { "severity", "check", "measured", "finding" } }, {}
  for _, f in ipairs(list) do
    if f.severity ~= "ok" then
      bad[#bad + 1] = f
      rows[#rows + 1] = { f.severity, f.id, tostring(f.measured), f.message }
    end
  end
  local lines, width = columns(rows)
  if bad[1] then log.out("%s", lines[1]) end
  for i, f in ipairs(bad) do
    log.out("%s%s", log.color(COLORS[f.severity], f.severity), lines[i + 1]:sub(#f.severity + 1))
    log.out("%s-> %s", (" "):rep(width[1] + width[2] + width[3] + 6), f.remedy)
  end
  log.out("%s: %s, %s, %d to know of, %d ok", plural(#list, "check"), plural(list.errors, "error"), plural(list.warnings, "warning"),
    #bad - list.errors - list.warnings, #list - #bad)
end

local function print_copy(result)
  local rows = { { "table", "rows", "bytes", "seconds" } }
  for _, t in ipairs(result.tables) do
    rows[#rows + 1] = { t.name, tostring(t.rows), tostring(t.bytes), ("%.1f"):format(t.seconds or 0) }
  end
  for _, line in ipairs(columns(rows)) do log.out("%s", line) end
  for _, note in ipairs(result.notes or {}) do log.out("%s", note) end
  log.out("copied %s, %.1f MB, in %s", plural(#result.tables, "table"), result.bytes / 1e6, log.duration(result.seconds))
end

local function print_same(list)
  for _, difference in ipairs(list.differences) do log.out("%s", difference) end
  log.out("%s", list.equal and ("equal: %s"):format(plural(#list, "table")) or plural(#list.differences, "difference"))
end

--- What there is to do. `fixed` are the options that the command gives itself; `fill` puts the databases in.
local COMMANDS = {
  check = {
    help = "looks for what would make a move fail or surprise, and says what to do; changes nothing",
    usage = "FROM [TO]", least = 1, fixed = { from = true, to = true, app = true },
    fill = function(o, from, to, app) o.from, o.to, o.app = from, to, app end,
    print = print_findings,
    plain = function(list) return { errors = list.errors, warnings = list.warnings, findings = items(list) } end,
    is_good = function(list) return list.errors == 0 end,
  },
  copy = {
    help = "copies a whole database into an empty one, from one snapshot",
    usage = "FROM TO", least = 2, fixed = { from = true, to = true },
    fill = function(o, from, to) o.from, o.to = from, to end,
    print = print_copy,
    plain = function(result) return result end,
    is_good = function() return true end,            -- what could not be copied is an error
  },
  same = {
    help = "compares two databases: schema, sequences, counts and checksums of all rows",
    usage = "FROM TO", least = 2, fixed = { a = true, b = true, quiet = true },
    fill = function(o, from, to) o[1], o[2], o.quiet = from, to, true end,
    print = print_same,
    plain = function(list) return { equal = list.equal, differences = items(list.differences), tables = items(list) } end,
    is_good = function(list) return list.equal end,
  },
}
local NAMES = { "check", "copy", "same" }

local HELP = {
  "",
  "FROM and TO: heroku:APP[/ATTACHMENT], env:NAME (a variable that holds a URL), or postgres://user@host:port/database",
  "(its password in ~/.pgpass or PGPASSWORD; ?sslmode= and ?sslrootcert= as libpq reads them).",
  "--from-via [USER@]HOST, --to-via [USER@]HOST: through that machine, by ssh. --json: the result as JSON.",
}

local function usage()
  log.out "usage: hkrun pg check|copy|same FROM TO [--option value ...]"
  for _, name in ipairs(NAMES) do log.out("  %-5s %s", name, COMMANDS[name].help) end
  for _, line in ipairs(HELP) do log.out("%s", line) end
  log.out "\n`hkrun pg check --help` lists the options of check."
  return 0
end

local OWN = {
  { "json", "the result as JSON", type = "boolean" },
  { "help", "this help", type = "boolean" },
  { "from_via", "machine to reach FROM through", type = "string" },
  { "to_via", "machine to reach TO through", type = "string" },
}

local function declared(name)
  local list = flags.of(require("pg." .. name).OPTIONS, COMMANDS[name].fixed)
  return table.move(OWN, 1, #OWN, #list + 1, list), #list - #OWN
end

local function help(name)
  local list, n = declared(name)
  log.out("usage: hkrun pg %s %s [--option value ...]", name, COMMANDS[name].usage)
  log.out("%s", COMMANDS[name].help)
  for _, line in ipairs(HELP) do log.out("%s", line) end
  log.out ""
  for _, line in ipairs(flags.help(table.move(list, 1, n, 1, {}))) do log.out("%s", line) end
  return 0
end

--- An endpoint through an ssh session, which is added to those to close.
local function through(where, word, sessions)
  if not word then return where end
  local user, host = word:match "^([^@]+)@(.+)$"
  local endpoint = { via = require("ssh").open { host = host or word, user = user } }
  sessions[#sessions + 1] = endpoint.via
  if type(where) == "table" then for k, v in pairs(where) do endpoint[k] = v end else endpoint.url = where end
  return endpoint
end

local function main(args)
  local name = args[1]
  if not name or name == "--help" or name == "-h" or name == "help" then return usage() end
  local command = COMMANDS[name] or errors.usage("hkrun pg has no command %s%s", name, options.suggestion(name, NAMES))
  for _, word in ipairs(args) do if word == "-h" then return help(name) end end
  local o, rest = flags.parse(table.move(args, 2, #args, 1, {}), (declared(name)))
  if o.help then return help(name) end
  if #rest < command.least or #rest > 2 then errors.usage("usage: hkrun pg %s %s [--option value ...]", name, command.usage) end
  local is_json, from_via, to_via = o.json, o.from_via, o.to_via
  o.json, o.from_via, o.to_via = nil, nil, nil
  local from, app = place.read(rest[1])
  local to = rest[2] and place.read(rest[2])
  if to_via and not to then errors.usage("--to-via needs the database TO") end
  local sessions <close> = setmetatable({}, { __close = function(list) for _, session in ipairs(list) do session:close() end end })
  from, to = through(from, from_via, sessions), through(to, to_via, sessions)
  command.fill(o, from, to, app)
  local result = pg[name](o)
  if is_json then log.out("%s", json.encode(command.plain(result), { pretty = true })) else command.print(result) end
  return command.is_good(result) and 0 or 1
end

return { help = "checks, copies or compares PostgreSQL databases", main = main }
