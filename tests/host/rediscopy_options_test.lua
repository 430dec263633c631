--- What redis.copy is told, and what it refuses.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local redis_source = require "redis_source"
local task = require "task"
local test = require "test"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

local function pair()
  local from, to = start(), start()
  redis_source.fill(open(from.url), 300)
  return from, to, open(from.url), open(to.url)
end

local function same(a, b)
  local r = redis.same { a.url, b.url, quiet = true }
  test.equal({ r.count, r.differences[1] }, { 0 })
end

T["a filter keeps some keys, by name, type and expiry"] = function()
  for _, method in ipairs { "dump", "value" } do
    local from, to, a, b = pair()
    local seen = {}
    local r = redis.copy { from = from.url, to = to.url, method = method, filter = function(key)
      seen[key.type] = true
      return key.type == "hash" or key.name == "string:3" or key.db == 3
    end }
    test.equal(seen, { string = true, hash = true, list = true, set = true, zset = true, stream = true })
    test.equal({ r.keys, r.dropped, b:dbsize() }, { 44, r.dropped, 42 }, method)
    test.equal({ b:pexpiretime "string:3", b:exists "string:4", b:hlen "hash:big" }, { a:pexpiretime "string:3", 0, 1500 })
    test.equal(r.keys + r.dropped, a:dbsize() + 2)
  end
end

T["a function renames keys, moves them to another database, changes expiry and values"] = function()
  for _, method in ipairs { "dump", "value" } do
    local from, to, a, b = pair()
    a:zadd("scores", 1, "a", "inf", "b")
    a:rpush("queue", "x", "y")
    local r = redis.copy { from = from.url, to = to.url, method = method, transform = function(key)
      if key.name:find "^string:" then
        key.name = "app:" .. key.name
        if key.name == "app:string:1" then key.expires_at = 4102444800777 end
        if key.name == "app:string:3" then key.expires_at = nil end
        if key.name == "app:string:5" then key.value = key.value:upper() end
        return key
      elseif key.name == "scores" then
        key.value.c = 0.1
        return key
      elseif key.name == "queue" then
        table.insert(key.value, 1, "first")
        return key
      elseif key.name == "hash:1" then
        key.value.a = nil
        key.value.new = "field"
        return key
      elseif key.name == "set:1" then
        key.db = 5
        return key
      elseif key.name == "stream:big" then
        return key
      end
    end }
    test.equal(r.keys, 300 + 5, method)
    test.equal({ b:get "app:string:1", b:pexpiretime "app:string:1", b:pexpiretime "app:string:3", b:get "app:string:5" },
      { "x1", 4102444800777, -1, "XXXXX5" })
    test.equal({ b:zrange("scores", 0, -1, "WITHSCORES"), b:lrange("queue", 0, -1) },
      { { "c", "0.10000000000000001", "a", "1", "b", "inf" }, { "first", "x", "y" } })
    test.equal({ b:hget("hash:1", "a"), b:hget("hash:1", "new"), b:hget("hash:1", "b") }, { nil, "field", redis_source.binary })
    test.equal(b:command("XINFO", "STREAM", "stream:big", "FULL", "COUNT", 0)[16], a:command("XINFO", "STREAM", "stream:big", "FULL", "COUNT", 0)[16])
    test.equal({ b:dbsize(), open(to.url .. "/5"):smembers "set:1" }, { 304, a:smembers "set:1" })
  end
end

T["a function that is wrong about a stream, or raises, ends the copy and says why"] = function()
  local from, to = pair()
  test.raises("stream:big\" is a stream, which a function cannot read", redis.copy, { from = from.url, to = to.url,
    filter = function(key) return key.name ~= "stream:big" or #key.value > 0 end })
  test.raises("no such thing", redis.copy, { from = from.url, to = to.url, restart = true, filter = function() error "no such thing" end })
end

T["only some databases are copied"] = function()
  local from, to = pair()
  test.equal(redis.copy({ from = from.url, to = to.url, databases = { 3 } }).keys, 2)
  test.equal({ open(to.url):dbsize(), open(to.url .. "/3"):dbsize() }, { 0, 2 })
  test.raises("databases are numbers, not x", redis.copy, { from = from.url, to = to.url, databases = { "x" } })
end

T["options that make no sense are refused"] = function()
  for text, o in pairs {
    ["connections must be 1 to 64"] = { connections = 0 }, ["load is a share"] = { load = 1.5 }, ["rate is keys a second"] = { rate = 0 },
    ["has no option lod"] = { lod = 1 },
  } do
    o.from, o.to = "redis://127.0.0.1:1", "redis://127.0.0.1:1"
    test.equal(test.raises(text:gsub("has no option lod", "lod"), redis.copy, o).kind, "usage")
  end
end

--- Users of both servers with these rights, and a copy between them.
local function with_rights(source_rights, target_rights, more)
  local from, to, a, b = pair()
  local o = { from = ("redis://app:pw@127.0.0.1:%d"):format(from.port), to = ("redis://app:pw@127.0.0.1:%d"):format(to.port) }
  for r, rights in pairs { [a] = source_rights, [b] = target_rights } do
    local words = {}
    for word in rights:gmatch "%S+" do words[#words + 1] = word end
    r:command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", table.unpack(words))
  end
  for k, v in pairs(more or {}) do o[k] = v end
  return o, from, to, b
end

T["rights that our user has not are named before anything is written"] = function()
  for _, case in ipairs {
    { "-scan", "", "the source's user may not run SCAN" },
    { "-dump", "", "the source's user may not run DUMP", { method = "dump" } },
    { "", "-restore", "the target's user may not run RESTORE", { method = "dump" } },
    { "", "-restore -hset -xadd", "RESTORE .* by value the target's user may not run HSET, XADD" },
    { "", "-xclaim", "the target's user may not run XCLAIM", { method = "value" } },
    { "", "-@write", "the target's user may not run SET, DEL" },
    { "resetkeys ~mine:*", "", "the source's user may not run TYPE" },
  } do
    local o, _, _, b = with_rights(case[1], case[2], case[4])
    test.equal(test.raises(case[3], redis.copy, o).kind, "stopped")
    test.equal(b:dbsize(), 0, case[3])
  end
end

T["a user without DUMP or RESTORE copies by value"] = function()
  for _, rights in ipairs { { "-dump", "" }, { "", "-restore" } } do
    local o, from, to = with_rights(rights[1], rights[2])
    test.equal(redis.copy(o).method, "value")
    same(from, to)
  end
end

T["a cluster on either side is refused, with what to do"] = function()
  local plain, cluster = start(), start { settings = { ["cluster-enabled"] = "yes", ["cluster-port"] = fs.free_port() } }
  open(plain.url):set("a", 1)
  test.raises("cluster mode, which redis.copy cannot fill; make one with cluster mode disabled", redis.copy, { from = plain.url, to = cluster.url })
  test.raises("cluster mode, where a connection sees only its own node's keys", redis.copy, { from = cluster.url, to = plain.url })
end

--- A module with a type of its own, which knows how to be saved.
local MODULE = [[
#include <stddef.h>
#define API(type, name) static type (*name)
typedef struct Ctx Ctx; typedef struct Key Key; typedef struct Str Str; typedef struct IO IO; typedef struct Type Type;
API(int, GetApi)(const char *, void *); API(void, SetModuleAttribs)(Ctx *, const char *, int, int);
API(int, CreateCommand)(Ctx *, const char *, int (*)(Ctx *, Str **, int), const char *, int, int, int);
API(Type *, CreateDataType)(Ctx *, const char *, int, void *); API(Key *, OpenKey)(Ctx *, Str *, int);
API(int, ModuleTypeSetValue)(Key *, Type *, void *); API(int, ReplyWithNull)(Ctx *); API(void, CloseKey)(Key *);
static Type *type;
static void *load (IO *io, int v) { (void)io; (void)v; return "x"; }
static void save (IO *io, void *v) { (void)io; (void)v; }
static void none (void *v) { (void)v; }
static int make (Ctx *c, Str **argv, int n) { (void)n; Key *k = OpenKey(c, argv[1], 3); ModuleTypeSetValue(k, type, "x"); CloseKey(k); return ReplyWithNull(c); }
int RedisModule_OnLoad (Ctx *c, void **argv, int n) {
  struct { unsigned long version; void *load, *save, *rewrite, *usage, *digest, *release; void *more[24]; } m = { 1, load, save, 0, 0, 0, none, { 0 } };
  (void)argv; (void)n;
  GetApi = ((void **)c)[0];
  GetApi("RedisModule_SetModuleAttribs", &SetModuleAttribs); GetApi("RedisModule_CreateCommand", &CreateCommand);
  GetApi("RedisModule_CreateDataType", &CreateDataType); GetApi("RedisModule_OpenKey", &OpenKey); GetApi("RedisModule_CloseKey", &CloseKey);
  GetApi("RedisModule_ModuleTypeSetValue", &ModuleTypeSetValue); GetApi("RedisModule_ReplyWithNull", &ReplyWithNull);
  SetModuleAttribs(c, "odd", 1, 1);
  type = CreateDataType(c, "odd-type1", 0, &m);
  return type == NULL || CreateCommand(c, "odd.make", make, "write", 1, 1, 1) != 0;
}
]]

T["keys of a module's type are copied where the target has it, and else refused by name or left out by name"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/odd.c", MODULE)
  local cc = process.run { "cc", "-shared", "-fPIC", "-o", dir .. "/odd.so", dir .. "/odd.c" }
  test.equal({ cc.code, cc.stderr }, { 0, "" })
  process.run { "chmod", "-R", "755", dir }
  local settings = { loadmodule = dir .. "/odd.so" }
  local from, with, without = start { settings = settings }, start { settings = settings }, start()
  local a = open(from.url)
  a:command("ODD.MAKE", "odd:1")
  a:set("plain", 1)
  test.equal(redis.copy({ from = from.url, to = with.url }).keys, 2)
  test.equal(open(with.url):type "odd:1", "odd-type1")
  local e = test.raises('keys of type odd%-type1, the first is "odd:1" in database 0, which the target does not take', redis.copy,
    { from = from.url, to = without.url })
  test.equal({ e.kind, open(without.url):dbsize() }, { "stopped", 0 })
  for _, method in ipairs { "auto", "value" } do
    local r = redis.copy { from = from.url, to = without.url, unknown = "skip", replace = true, method = method }
    test.equal({ r.keys, r.skipped }, { 1, { { db = 0, key = "odd:1", type = "odd-type1" } } }, method)
  end
end

T["large values go by value in slices, every element as it was"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  local block = ("0123456789abcdef"):rep(65536)
  a:set("string", block .. "the end")
  a:setrange("string", 2500000, "behind a gap")
  a:set("exactly one slice", block)
  local commands = {}
  for i = 1, 3000 do
    commands[#commands + 1] = { "HSET", "hash", "field" .. i, ("v"):rep(400) .. i }
    commands[#commands + 1] = { "ZADD", "zset", ("%.17g"):format(1 / i - 0.01), ("m"):rep(300) .. i }
    commands[#commands + 1] = { "RPUSH", "list", ("l"):rep(400) .. i }
    commands[#commands + 1] = { "SADD", "set", ("s"):rep(300) .. i }
    commands[#commands + 1] = { "XADD", "stream", i .. "-0", "f", ("x"):rep(400) .. i }
  end
  a:pipeline(commands)
  test.equal(redis.copy({ from = from.url, to = to.url, method = "value" }).keys, 7)
  test.equal(b:strlen "string", 2500012)
  same(from, to)
end

T["fields of hashes keep their expiry by value too, and a target that does not know it is named"] = function()
  local program = dofile("tests/support/redis_versions.lua").program "valkey-9"
  local from, to, old = start { program = program }, start { program = program }, start()
  local a, b = open(from.url), open(to.url)
  for key, n in pairs { small = 5, large = 4000 } do
    local words = {}
    for i = 1, n do words[2 * i - 1], words[2 * i] = "field" .. i, ("v"):rep(30) .. i end
    a:hset(key, table.unpack(words))
    a:hpexpireat(key, 4102444800321, "FIELDS", 2, "field1", "field3")
  end
  redis.copy { from = from.url, to = to.url, method = "value" }
  for _, key in ipairs { "small", "large" } do
    test.equal(b:hpexpiretime(key, "FIELDS", 4, "field1", "field2", "field3", "field4"), { 4102444800321, -1, 4102444800321, -1 })
  end
  same(from, to)
  test.raises("fields of the hash expire, which the target's version does not know", redis.copy, { from = from.url, to = old.url })
end

T["a large key that is made equal by itself streams, and goes when the source's has gone"] = function()
  local keys = require "redis.copy.keys"
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  local value = ("0123456789abcdef"):rep(200000)
  a:config_set("rdbcompression", "no")
  a:set("large", value)
  a:pexpireat("large", 4102444800123)
  test.equal(keys.move(a, b, { db = 0, keys = { "large", "none" } }), { copied = 1, deleted = 0 })
  test.equal({ b:get "large" == value, b:pexpiretime "large" }, { true, 4102444800123 })
  a:command("ACL", "SETUSER", "default", "-dump")
  a:append("large", "more")
  test.equal(keys.move(a, b, { db = 0, keys = { "large" } }), { copied = 1, deleted = 0 })
  test.equal(b:strlen "large", #value + 4)
end

T["a source that others use is spared, and read at full speed when they stop"] = function()
  local load = require "redis.copy.load"
  local from = start()
  local r, other = open(from.url), open(from.url)
  local l = load.new(r, { load = 0.1, rate = 7 })
  local function busy(n)
    local commands = {}
    for i = 1, n do commands[i] = { "GET", "a" } end
    other:pipeline(commands)
  end
  l:look()
  test.equal({ l:limit() }, { 0, 7 })
  busy(5000)
  l:look()
  test.equal({ l:limit() }, { 0.1, 7 })
  for _ = 1, 4 do
    task.sleep(0.02)
    r:pipeline { { "SCAN", 0 }, { "DUMP", "a" }, { "PEXPIRETIME", "a" } }           -- as the workers do
    l:look()
  end
  test.equal({ l:limit() }, { 0, 7 })
  l = load.new(r, { load = 1 })
  l:look()
  busy(5000)
  l:look()
  test.equal({ l:limit() }, { 0, 0 })
end

T["a key that is not there any more when its turn comes is counted, and an error of a function is no lost key"] = function()
  local from, to, a = pair()
  local r = redis.copy { from = from.url, to = to.url, filter = function(key)
    if key.name == "string:7" then a:del "string:7" end
    return true
  end }
  test.equal({ r.gone, r.keys }, { 1, a:dbsize() + 2 })
  test.truthy(not errors.is(r))
end

return T
