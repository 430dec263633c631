--- hkrun pg check|copy|same FROM TO: the functions of the module pg, with their own options as flags. Exits with 1 where
--- a check finds an error, the databases differ or a copy failed, with 2 where the command line is wrong.
local log = require "log"
local pg = require "pg"
local subcommands = require "options.subcommands"

local columns, plural, items = subcommands.columns, subcommands.plural, subcommands.items

local COLORS = { error = "red", warning = "yellow", info = "bold" }

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
  for _, t in ipairs(list) do
    if t.behind then log.out("note: %s waits for a REFRESH in %s, which would make it what it is in the other", t.table, t.behind) end
  end
  log.out("%s", list.equal and ("equal: %s"):format(plural(#list, "table")) or plural(#list.differences, "difference"))
end

-- What there is to do; what a failed copy could not do is an error.
local COMMANDS = {
  check = {
    help = "looks for what would make a move fail or surprise, and says what to do; changes nothing",
    usage = "FROM [TO]", least = 1, module = "pg.check", fixed = { from = true, to = true, app = true },
    run = function(o, places, apps)
      o.from, o.to, o.app = places[1], places[2], apps[1]
      return pg.check(o)
    end,
    print = print_findings,
    plain = function(list) return { errors = list.errors, warnings = list.warnings, findings = items(list) } end,
    is_good = function(list) return list.errors == 0 end,
  },
  copy = {
    help = "copies a whole database into an empty one, from one snapshot",
    usage = "FROM TO", least = 2, module = "pg.copy", fixed = { from = true, to = true },
    run = function(o, places)
      o.from, o.to = places[1], places[2]
      return pg.copy(o)
    end,
    print = print_copy,
    plain = function(result) return result end,
    is_good = function() return true end,
  },
  same = {
    help = "compares two databases: schema, sequences, counts and checksums of all rows",
    usage = "FROM TO", least = 2, module = "pg.same", fixed = { a = true, b = true, quiet = true },
    run = function(o, places)
      o[1], o[2], o.quiet = places[1], places[2], true
      return pg.same(o)
    end,
    print = print_same,
    plain = function(list) return { equal = list.equal, differences = items(list.differences), tables = items(list) } end,
    is_good = function(list) return list.equal end,
  },
}
for _, command in pairs(COMMANDS) do command.ends = { "from", "to" } end

return {
  help = "checks, copies or compares PostgreSQL databases",
  main = subcommands.main {
    name = "pg", names = { "check", "copy", "same" }, commands = COMMANDS, usage = "FROM TO",
    about = {
      "",
      "FROM and TO: heroku:APP[/ATTACHMENT], env:NAME (a variable that holds a URL), file:PATH, or postgres://user@host:port/database",
      "(its password in ~/.pgpass or PGPASSWORD; ?sslmode= and ?sslrootcert= as libpq reads them).",
      "--from-via [USER@]HOST, --to-via [USER@]HOST: through that machine, by ssh. --json: the result as JSON.",
    },
    place = {
      noun = "database", variable = "DATABASE", scheme = "postgres", example = "postgres://user@host/database", without = "env:NAME or ~/.pgpass",
      heroku = { sslmode = "require" },              -- Heroku's certificates are self-signed
    },
    ways = { { "via", "machine to go through", type = "string" } },
  },
}
