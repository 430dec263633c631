--- What a copy of a keyspace remembers, and what it makes of it: no random moments here.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local redis = require "redis"
local redis_lab = require "redis_lab"
local redis_source = require "redis_source"
local test = require "test"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

local function journal_of(path)
  local list = {}
  for line in fs.read(path):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

local function slices_of(path)
  local n = 0
  for _, rec in ipairs(journal_of(path)) do if rec.ev == "slice" then n = n + 1 end end
  return n
end

--- A source, a target, a journal, and a copy between them that is broken off when about half of it is done.
---@param keys? integer strings, besides some keys of each type
local function half(more, keys)
  local from, to = start(), start()
  keys = keys or 3000
  redis_source.fill(open(from.url), keys)
  local o = { from = from.url, to = to.url, journal = test.tmpdir() .. "/journal", batch = 20, rate = keys, connections = 3 }
  for k, v in pairs(more or {}) do o[k] = v end
  function o.on_progress(copied)
    if copied > keys * 0.6 then errors.raise { kind = "stopped", op = "copy", message = "enough" } end
  end
  local e = test.raises("enough", redis.copy, o)
  test.match(e.hint, "goes on")
  o.on_progress, o.rate = nil, nil
  return o, from, to
end

local function same(o, what)
  local r = redis.same { o.from, o.to, quiet = true }
  test.equal({ r.count, r.differences[1] }, { 0 }, what)
end

T["a copy that was broken off goes on where it was"] = function()
  local o, _, to = half()
  local was = slices_of(o.journal)
  test.truthy(was > 0, "some slices are in the journal")
  test.truthy(open(to.url):get "hkrun:copy", "the target is marked")
  local r = redis.copy(o)
  test.truthy(r.kept > 500 and r.kept <= r.keys, ("%d of %d kept"):format(r.kept, r.keys))
  test.equal(open(to.url):exists "hkrun:copy", 0)
  same(o)
end

T["the journal holds no value, and no password"] = function()
  local from, to = start { password = "open sesame" }, start()
  open(from.url):set("the key", "the value of it")
  local path = test.tmpdir() .. "/journal"
  redis.copy { from = from.url, to = to.url, journal = path }
  local text = fs.read(path)
  test.truthy(not text:find "the value" and not text:find "sesame" and text:find '"digest"', text)
end

T["what changed at the source after the break is seen, by digest, and nothing else is copied again"] = function()
  local o, from = half(nil, 9000)
  local a = open(from.url)
  a:set("string:5", "changed")
  local r = redis.copy(o)
  test.equal(r.kept, 0, "nothing was taken on trust")
  same(o)
  local whole = redis.copy { from = o.from, to = o.to, replace = true }
  test.truthy(r.keys == whole.keys and r.bytes < whole.bytes * 0.85, ("%d of %d bytes were written"):format(r.bytes, whole.bytes))
  o, from = half()
  a = open(from.url)
  for i = 1, 3000, 500 do a:set("string:" .. i, "changed " .. i) end
  a:del("string:2", "hash:3")
  a:pexpireat("string:4", 4102444899999)
  a:set("new", 1)
  a:xadd("stream:big", "9999-1", "n", 1)
  redis.copy(o)
  same(o)
  local checks = 0
  for _, rec in ipairs(journal_of(o.journal)) do if rec.ev == "again" and rec.kept == false then checks = checks + 1 end end
  test.equal(checks, 1)
end

T["what was deleted at the source goes too when the comparison itself was broken off"] = function()
  local o, from = half()
  local a = open(from.url)
  for i = 1, 100 do a:del("string:" .. i) end
  function o.on_progress() errors.raise { kind = "stopped", op = "copy", message = "enough" } end
  test.raises("enough", redis.copy, o)
  o.on_progress = nil
  redis.copy(o)
  same(o)
end

T["a copy with functions that was broken off goes on, or begins again when the source changed"] = function()
  local o, from, to = half { transform = function(key) key.name = "moved:" .. key.name return key end }
  local r = redis.copy(o)
  test.truthy(r.kept > 500, ("%d kept"):format(r.kept))
  test.equal({ open(to.url):get "moved:string:7", open(to.url):exists "string:7" }, { "xxxxxxx7", 0 })
  test.equal(open(to.url):dbsize(), open(from.url):dbsize())
  o, from, to = half { transform = o.transform }
  open(from.url):del "string:1"
  test.equal(redis.copy(o).kept, 0)
  test.equal({ open(to.url):exists "moved:string:1", open(to.url):dbsize() }, { 0, open(from.url):dbsize() })
end

T["with other options, or another source, it does not go on"] = function()
  local o, _, to = half()
  o.databases = { 0 }
  local r = redis.copy(o)
  test.equal({ r.kept, open(to.url .. "/3"):dbsize() }, { 0, 0 }, "it began again")
  o = half()
  local other = start()
  open(other.url):set("a", 1)
  o.from = other.url
  redis.copy(o)
  same(o, "another server at the source's place: copied anew")
end

T["a copy that begins again, and is cut off as its journal does, goes on all the same"] = function()
  local o, from = half { method = "value" }
  open(from.url):set("written", "since: by value there are no digests, so it begins again")
  local journals = require "redis.copy.journal"
  local opened = journals.open
  journals.open = function(path)
    local journal = opened(path)
    function journal:begin(rec)
      getmetatable(journal).begin(self, rec)
      error("cut off", 0)
    end
    return journal
  end
  local ok, e = pcall(redis.copy, o)
  journals.open = opened
  test.equal({ ok, e }, { false, "cut off" })
  test.equal(redis.copy(o).kept, 0)
  same(o)
end

T["the mark of another copy is not ours, and the journal of another not this one's"] = function()
  local o, _, to = half()
  open(to.url):set("hkrun:copy", "of somebody else")
  test.raises("is not empty: it holds %d+ keys of a copy that was not finished", redis.copy, o)
  fs.write(o.journal, "no journal at all\n")
  test.raises("it is no journal of a copy", redis.copy, o)
  test.equal(fs.read(o.journal), "no journal at all\n")
end

T["a last line that was not written whole is left out"] = function()
  local o = half()
  fs.append(o.journal, '{"ev":"slice","db":0,"start"')
  test.truthy(redis.copy(o).kept > 500)
  same(o)
end

T["a copy that was done answers the same again, and touches nothing; after a change of the source it refuses"] = function()
  local from, to = start(), start()
  open(from.url):set("a", 1)
  local o = { from = from.url, to = to.url, journal = test.tmpdir() .. "/journal" }
  local first = redis.copy(o)
  local b = open(to.url)
  b:set("a", "the app works here now")
  test.equal(redis.copy(o), first)
  test.equal(b:get "a", "the app works here now")
  open(from.url):set("b", 1)
  test.raises("is not empty", redis.copy, o)
  o.replace = true
  test.equal(redis.copy(o).keys, 2)
end

T["a copy that ended before its mark was gone is finished by the next call"] = function()
  local from, to = start(), start()
  open(from.url):set("a", 1)
  local o = { from = from.url, to = to.url, journal = test.tmpdir() .. "/journal" }
  redis.copy(o)
  local b = open(to.url)
  b:set("hkrun:copy", journal_of(o.journal)[1].id)
  test.equal(redis.copy(o).keys, 1)
  test.equal(b:exists "hkrun:copy", 0)
end

T["two runs cannot use one journal"] = function()
  local from, to = start(), start()
  redis_source.fill(open(from.url), 10)
  local o = { from = from.url, to = to.url, journal = test.tmpdir() .. "/journal" }
  local tried
  function o.on_progress()
    tried = tried or test.raises("another run of the copy is using it", redis.copy, o)
  end
  redis.copy(o)
  test.truthy(tried)
end

return T
