--- hkrun redis copy FROM TO, same A B: the functions of the module redis, with their own options as flags. Exits with 1
--- where the servers differ or a copy failed, with 2 where the command line is wrong.
local log = require "log"
local redis = require "redis"
local subcommands = require "options.subcommands"

local plural = subcommands.plural

local function print_copy(result)
  log.out("copied %s%s in %s, %s", plural(result.keys, "key"), result.bytes > 0 and (", %.1f MB,"):format(result.bytes / 1e6) or "",
    log.duration(result.seconds), result.method == "value" and "by value: the servers' formats differ" or "as the source stores them")
  if not result.exact_expiry then log.out "the source does not tell expiry times: they may be off by some milliseconds" end
end

local function print_same(result)
  for _, difference in ipairs(result.differences) do log.out("%s", difference.message) end
  if result.count > #result.differences then log.out("and %s more", log.amount(result.count - #result.differences)) end
  log.out("%s", result.equal and ("equal: %s"):format(plural(result.keys, "key")) or plural(result.count, "difference"))
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
    is_good = function(result) return result.equal end,
  },
}

return {
  help = "copies or compares Redis servers",
  main = subcommands.main {
    name = "redis", names = { "copy", "same" }, commands = COMMANDS, usage = "FROM TO",
    about = {
      "",
      "A server: heroku:APP[/ATTACHMENT], env:NAME (a variable that holds a URL), file:PATH (a file that does), or redis://host:port,",
      "rediss:// for TLS. --from-pin SHA256 accepts one self-signed certificate, as Heroku's are (redis.fingerprint tells it);",
      "--from-ca FILE trusts an authority, --from-via [USER@]HOST goes through that machine by ssh; --to-... for the second server.",
      "--json: the result as JSON.",
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
