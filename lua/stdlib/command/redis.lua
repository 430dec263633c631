--- hkrun redis copy FROM TO, same A B, queues URL...: the functions of the modules redis and queues, with their own options
--- as flags. Exits with 1 where the servers differ or a copy failed, with 2 where the command line is wrong.
local json = require "json"
local log = require "log"
local names = require "redis.same.names"
local redis = require "redis"
local subcommands = require "options.subcommands"

local plural = subcommands.plural

local function print_copy(result)
  log.out("copied %s%s, in %s, %s", plural(result.keys, "key"), result.bytes > 0 and (", %.1f MB"):format(result.bytes / 1e6) or "",
    log.duration(result.seconds), result.method == "value" and "by value: the servers' formats differ" or "as the source stores them")
  if not result.exact_expiry then
    log.out("the source tells only how long keys have to live: their expiry may be off by %d ms", result.expiry_bound)
  end
  for _, k in ipairs(result.skipped) do log.out("left out: key %s in database %d, of type %s", names.show(k.key), k.db, k.type) end
end

local function print_same(result)
  for _, difference in ipairs(result.differences) do log.out("%s", difference.message) end
  if result.count > #result.differences then log.out("and %s more", log.amount(result.count - #result.differences)) end
  for _, note in ipairs(result.notes) do log.out("%s", note) end
  if result.count > 0 then log.out("%s", plural(result.count, "difference"))
  elseif result.sampled then
    log.out("no difference in a sample of %s of %s: it does not say that the others are equal", log.amount(result.sampled.keys),
      plural(result.sampled.of, "key"))
  else log.out("equal: %s", plural(result.keys, "key")) end
end

--- The queues of a server: of its database, or of all that are in use where the URL names none.
local function find_queues(where, o)
  local r <close> = redis.open(where)
  local numbers = r.db ~= 0 and { r.db } or select(2, require("redis.copy").databases(r))
  local server = { server = r.label, queues = {} }
  for _, db in ipairs(numbers) do
    r:select(db)
    for _, row in ipairs(require("queues").find(r, o)) do
      table.insert(server.queues, { db = db, kind = row.kind, name = row.name, state = row.state, count = row.count })
    end
  end
  return server
end

local function print_queues(servers)
  for _, server in ipairs(servers) do
    if #servers > 1 then log.out("%s", server.server) end
    local rows = { { "db", "kind", "queue", "state", "jobs" } }
    for i, row in ipairs(server.queues) do rows[i + 1] = { tostring(row.db), row.kind, row.name:gsub("%c", "?"), row.state, tostring(row.count) } end
    if rows[2] then for _, line in ipairs(subcommands.columns(rows)) do log.out("%s", line) end else log.out "no queues" end
  end
end

local COMMANDS = {
  copy = {
    help = "copies all keys of a server into an empty one, exactly; stop what writes to FROM first",
    usage = "FROM TO", least = 2, module = "redis.copy", fixed = { from = true, to = true }, ends = { "from", "to" },
    run = function(o, places)
      o.from, o.to = places[1], places[2]
      return redis.copy(o)
    end,
    print = print_copy,
    plain = function(result) return result end,
    is_good = function() return true end,
  },
  same = {
    help = "compares two servers key by key: type, value, expiry, streams with their groups",
    usage = "A B", least = 2, module = "redis.same", fixed = { a = true, b = true, quiet = true }, ends = { "from", "to" },
    run = function(o, places)
      o[1], o[2], o.quiet = places[1], places[2], true
      return redis.same(o)
    end,
    print = print_same,
    plain = function(result) return result end,
    is_good = function(result) return result.count == 0 end,
  },
  queues = {
    help = "finds the queues of job systems, and counts their jobs by state",
    usage = "URL...", least = 1, most = math.huge, module = "queues", fixed = {}, ends = { "" },
    run = function(o, places)
      local servers = json.array {}
      for i, where in ipairs(places) do servers[i] = find_queues(where, o) end
      return servers
    end,
    print = print_queues,
    plain = function(servers) return servers end,
    is_good = function() return true end,
  },
}

return {
  help = "copies or compares Redis servers, finds their queues",
  main = subcommands.main {
    name = "redis", names = { "copy", "same", "queues" }, commands = COMMANDS, usage = "FROM TO",
    about = {
      "",
      "A server: heroku:APP[/ATTACHMENT], env:NAME (a variable that holds a URL), file:PATH (a file that does), or redis://host:port,",
      "rediss:// for TLS. --from-pin SHA256 accepts one self-signed certificate, as Heroku's are (redis.fingerprint tells it);",
      "--from-ca FILE trusts an authority, --from-via [USER@]HOST goes through that machine by ssh; --to-... for the second server",
      "(queues: --pin, --ca, --via, for all). --json: the result as JSON.",
    },
    place = {
      noun = "Redis server", variable = "REDIS", scheme = "redis", example = "redis://host:port", without = "env:NAME or file:PATH", heroku = {},
    },
    ways = {
      { "via", "machine to go through", type = "string" },
      { "pin", "SHA-256 of the certificate to accept", type = "string" },
      { "ca", "file of trusted certificates", type = "string" },
      { "insecure", "accept any certificate", type = "boolean" },
    },
  },
}
