--- Keys of every type, small and large, in two databases; some thousand of them.
local M = {}

M.binary = "a\0b\r\n\xff \"'{}"
local binary = M.binary

---@param r redis.Connection works in database 0, before and after
---@param n? integer plain strings
function M.fill(r, n)
  local commands = {}
  local function add(...) commands[#commands + 1] = { ... } end
  for i = 1, n or 1200 do
    add("SET", "string:" .. i, ("x"):rep(i % 300) .. i)
    if i % 3 == 0 then add("PEXPIREAT", "string:" .. i, 4102444800000 + i * 7) end
  end
  add("SET", binary, binary)
  add("SET", "", "a key without a name")
  add("SETBIT", "bits", 100000, 1)
  add("PFADD", "visitors", "a", "b", "c")
  for i = 1, 1500 do
    add("HSET", "hash:big", "field" .. i, binary .. i)
    add("RPUSH", "list:big", "item" .. i % 700, binary)
    add("SADD", "set:big", "member" .. i)
    add("ZADD", "zset:big", 1 / i, "member" .. i)
    add("XADD", "stream:big", i .. "-1", "n", i)
  end
  for i = 1, 40 do add("HSET", "hash:" .. i, "a", i, "b", binary) add("SADD", "set:" .. i, i, i + 1) end
  add("ZADD", "zset:odd", "inf", "top", "-inf", "bottom", "0.1", "tenth", "-0", "zero", "1e300", "huge", "0.30000000000000004", "digits")
  add("GEOADD", "geo", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
  add("XGROUP", "CREATE", "stream:big", "readers", "0")
  add("XGROUP", "CREATE", "stream:big", "idle", "100-1")
  add("XGROUP", "CREATECONSUMER", "stream:big", "readers", "sleeper")
  add("XREADGROUP", "GROUP", "readers", "alice", "COUNT", 700, "STREAMS", "stream:big", ">")
  add("XREADGROUP", "GROUP", "readers", "bob", "COUNT", 20, "STREAMS", "stream:big", ">")
  add("XACK", "stream:big", "readers", "5-1", "6-1")
  add("XDEL", "stream:big", "7-1", "8-1", "1500-1", "1499-1")
  add("XCLAIM", "stream:big", "readers", "bob", 0, "9-1", "TIME", 1700000000123, "RETRYCOUNT", 7)
  add("XGROUP", "CREATE", "stream:empty", "g", "$", "MKSTREAM")
  for i = 1, 9 do add("XADD", "stream:trimmed", "5-" .. i, "n", i) end
  add("XGROUP", "CREATE", "stream:trimmed", "g", "0")
  add("XREADGROUP", "GROUP", "g", "c", "COUNT", 5, "STREAMS", "stream:trimmed", ">")
  add("XTRIM", "stream:trimmed", "MAXLEN", "=", 6)
  add("XADD", "stream:gone", "1-1", "a", "b")
  add("XTRIM", "stream:gone", "MAXLEN", "=", 0)
  add("SELECT", 3)
  add("SET", "in database three", "yes", "PXAT", 4102444800123)
  add("RPUSH", "list", "c", "a", "b")
  add("SELECT", 0)
  r:pipeline(commands)
end

return M
