--- The readers of answers under bad input: every cut and many changes of good documents, errors half-way, the collector.
local test = require "test"
local errors = require "errors"
local host = require "host.shape"
local model = require "aws.model"
local reader = require "aws.reader"
local T = test.cases()

-- luacheck: no max line length
local SHAPES = [[
# Made by hand
m protocol query
s Any struct document
s Item struct | Key:string;low Grantee:Grantee
s Items list | member:Item
s Names list | member:string
s Dict map | key:string value:Item
s Numbers map | key:string value:double
s Grantee struct | Type:string;wire=xsi:type;attr Id:string
s Choice struct union | First:string Second:Item
s Option struct | Namespace:string Value:string
s Out struct | Text:string On:bool Count:long At:timestamp Data:blob Items:Items Names:Names Flat:Items;flat Numbers:Numbers;flat Dict:Dict Choice:Choice Deep:Out Hidden:string;secret Any:Any
]]

local XML = [==[<?xml version="1.0"?>
<r xmlns="http://x/" xmlns:xsi="http://y/"><Text>a &amp; &#233;<![CDATA[<b>]]></Text><On>true</On><Count>-12</Count><At>2026-01-31T08:00:00.250Z</At>
<Data>AP8=</Data><Items><member><key>k</key><Grantee xsi:type="G"><Id/></Grantee></member><member/></Items><Names><member>é</member></Names>
<Flat><key>1</key></Flat><Numbers><key>n</key><value>NaN</value></Numbers><Dict><entry><key>d</key><value><key>v</key></value></entry></Dict>
<Choice><Third/></Choice><Deep><Deep><Text/></Deep></Deep><Hidden>s</Hidden><New><a><b>c</b></a></New><!-- c --></r>]==]

local JSON = [==[{"Text":"a\n\u00e9\ud83d\ude00é","On":true,"Count":-12,"At":1769846400.25,"Data":"AP8=","Items":[{"key":"k","Grantee":{"Id":""}},{},null],
"Names":["a","b"],"Numbers":{"n":"NaN","m":1e5},"Dict":{"d":{"key":"v"},"e":null},"Choice":{"Third":1},"Deep":{"Deep":{"Text":""}},"Hidden":"s",
"Any":{"a":[1,2.5,"x",null,false,{}]},"New":{"a":[["b"],{"c":-0.5e-2}]}}]==]

--- A generator of its own, so that each run is the same.
local function random(seed)
  return function(n)
    seed = (seed * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (seed >> 33) % n + 1
  end
end

local BYTES = { "<", ">", "/", "&", ";", "\"", "\\", "{", "}", "[", "]", ",", ":", "\0", "\255", "\xC3", "0", "9", "-", "e", "a", " ", "u", "'", "=" }

--- Reads a document that may be broken: a result, or an error of the protocol.
local function try(m, format, body)
  local ok, e = pcall(reader[format], m, "Out", body)
  if not ok and not (errors.is(e) and e.kind == "protocol" and #e.message > 0) then
    error(("%s: %s"):format(test.show(body), tostring(e)), 0)
  end
  return ok
end

for format, body in pairs { xml = XML, json = JSON } do
  T[format .. ": an answer that is cut off anywhere is an error"] = function()
    local m = model.parse("toys", SHAPES)
    test.truthy(try(m, format, body))
    for i = 0, #body - 1 do test.truthy(not try(m, format, body:sub(1, i)), body:sub(1, i)) end
  end

  T[format .. ": an answer that is changed anywhere is read or is an error, never a crash"] = function()
    local m, dice, read = model.parse("toys", SHAPES), random(20261), 0
    for i = 1, #body do
      local any = BYTES[dice(#BYTES)]
      local from, length = dice(#body), dice(40)
      for _, changed in ipairs {
        body:sub(1, i - 1) .. any .. body:sub(i + 1), body:sub(1, i - 1) .. any .. body:sub(i), body:sub(1, i - 1) .. body:sub(i + dice(12)),
        body:sub(1, i) .. body:sub(from, from + length) .. body:sub(i + 1),
      } do
        if try(m, format, changed) then read = read + 1 end
      end
    end
    test.truthy(read > 100, "some are read")
  end
end

T["an error of whoever describes the shapes passes through, and the collector runs on"] = function()
  local asked = 0
  local g = host.graph(function(name)
    asked = asked + 1
    if name == "Broken" then error "no such shape" end
    return { kind = "struct", members = { { name = "A", wire = "A", shape = "Broken" } } }
  end)
  for _ = 1, 2 do
    test.raises("no such shape", g.xml, g, "Root", "<r><A/></r>")
    test.raises("no such shape", g.json, g, "Root", '{"A":1}')
    test.truthy(collectgarbage "isrunning")
  end
  test.equal(#(g:json("Root", '{"B":1}')), 0)
  test.equal(asked, 5, "a shape that is known is not asked for again")
  test.raises("no kind", host.graph(function() return { kind = "no kind" } end).json, host.graph(function() return { kind = "no kind" } end), "X", "1")
end

T["the collector stays as it was: stopped, if it was"] = function()
  local m = model.parse("toys", SHAPES)
  collectgarbage "stop"
  local ok = try(m, "xml", XML)
  local running = collectgarbage "isrunning"
  collectgarbage "restart"
  test.equal({ ok, running }, { true, false })
end

T["what the graph reads outlives it"] = function()
  local r
  do
    local m = model.parse("toys", SHAPES)
    r = { reader.xml(m, "Out", XML), reader.json(m, "Out", JSON) }
  end
  collectgarbage()
  collectgarbage()
  test.equal({ r[1].Items[1].Key, r[2].Dict.d.Key, r[1].Items[1].Grantee.Type }, { "k", "v", "G" })
end

--- An answer of two megabytes, which a thread reads ahead; `wrong` stands in its item of that number.
local function large(at, wrong)
  local parts = {}
  for i = 1, 12000 do
    parts[i] = ("<Deep><Text>%d</Text><Hidden>%s</Hidden><Count>%s</Count><Items><member><key>k</key></member></Items></Deep>"):format(
      i, ("x"):rep(i % 100), i == at and wrong or i)
  end
  return "<r><Names>" .. ("<member>" .. ("y"):rep(300000) .. "</member>"):rep(3) .. "</Names>" .. table.concat(parts) .. "</r>"
end

T["xml: a large answer is read whole; an error anywhere in it ends it, and whoever reads ahead"] = function()
  local m = model.parse("toys", SHAPES)
  local result = reader.xml(m, "Out", large())
  test.equal({ #result.Names, #result.Names[3], result.Deep.Text, result.Deep.Count }, { 3, 300000, "12000", 12000 })
  local body = large()
  for _, at in ipairs { 1, 2000, 6000, 11999, 12000 } do
    test.equal(test.raises('Count is "many", not of type integer', reader.xml, m, "Out", large(at, "many")).kind, "protocol")
    test.match(test.raises("not usable XML at line 1", reader.xml, m, "Out", large(at, "</wrong>")).message, "mismatched tag")
    test.raises("not usable XML", reader.xml, m, "Out", body:sub(1, #body * at // 12000 - 2))
  end
  local graph = host.graph(function(name)
    if name == "string" then error("no " .. name, 0) end
    return { kind = "struct", members = { { name = "Text", wire = "Deep", shape = "string" } } }
  end)
  for _ = 1, 5 do test.raises("no string", graph.xml, graph, "Out", body) end
end

T["answers that are let go are collected, though the collector stands still while they are read"] = function()
  local m, body = model.parse("toys", SHAPES), large()
  local items = {}
  for i = 1, 20000 do items[i] = ('"name %d"'):format(i) end
  local document = '{"Names":[' .. table.concat(items, ",") .. "]}"
  for format, answer in pairs { xml = body, json = document } do
    local function read() return reader[format](m, "Out", answer) end
    read()
    collectgarbage()
    local before, most = collectgarbage "count", 0
    local _ = read()
    local one = collectgarbage "count" - before
    for _ = 1, 40 + 4 * before // one do             -- the collector waits until twice as much is in use as it left
      _ = read()
      most = math.max(most, collectgarbage "count" - before)
    end
    test.truthy(most < 2 * before + 10 * one, ("%s: %.0f KB in use, %.0f KB for one, at most %.0f"):format(format, before, one, most))
  end
end

--- Gives a reader the answer in pieces of that size, and has it play after each; what it answers in the end.
local function in_pieces(m, body, size)
  local r = reader.begin_query(m, { output = "Out" })
  for i = 1, #body, size do
    r:add(body:sub(i, i + size - 1))
    r:play()
  end
  return pcall(reader.query, m, { output = "Out" }, r)
end

T["xml: an answer that comes in pieces is read as one that is there"] = function()
  local m = model.parse("toys", SHAPES)
  local small, big = XML:gsub("NaN", "1"), large()                                -- NaN is equal to nothing
  for body, sizes in pairs { [small] = { 1, 2, 7, 100, #small - 1, #small }, [big] = { 1000, 65535, 65536, 65537, 300000, #big } } do
    local whole = reader.query(m, { output = "Out" }, body)
    for _, size in ipairs(sizes) do
      local ok, result = in_pieces(m, body, size)
      test.equal({ ok, result }, { true, whole }, "pieces of " .. size)
    end
  end
end

T["xml: what is wrong in an answer that comes in pieces is told at its end, whatever comes behind it"] = function()
  local m = model.parse("toys", SHAPES)
  for _, size in ipairs { 1, 50 } do
    for i = 0, #XML - 1 do
      local ok, e = in_pieces(m, XML:sub(1, i), size)
      test.equal({ ok, e.kind }, { false, "protocol" }, XML:sub(1, i))
    end
  end
  for _, wrong in ipairs { "many", "</wrong>" } do
    for _, at in ipairs { 1, 6000, 12000 } do
      local body = large(at, wrong)
      for _, size in ipairs { 65536, 700000 } do
        local ok, e = in_pieces(m, body, size)
        test.truthy(not ok)
        test.match(e.message, wrong == "many" and 'Count is "many", not of type integer' or "mismatched tag")
      end
    end
  end
end

T["xml: a reader may be left at any point, or used when it is over"] = function()
  local m, big = model.parse("toys", SHAPES), large()
  for _, n in ipairs { 0, 10, 1000000, #big } do
    local r <close> = reader.begin_query(m, { output = "Out" })
    r:add(big:sub(1, n))
    r:play()
    local _ = reader.begin_query(m, { output = "Out" }) -- the collector's
  end
  collectgarbage()
  local r = reader.begin_query(m, { output = "Out" })
  r:add "<r><Text>a</Text></r>"
  local value, root = r:finish()
  test.equal({ value.Text, root }, { "a", "r" })
  r:add "more"
  r:play()
  test.raises("nothing more", r.finish, r)
  local closed = reader.begin_query(m, { output = "Out" })
  getmetatable(closed).__close(closed)
  closed:add "<r/>"
  test.raises("closed", closed.play, closed)
  test.raises("closed", closed.finish, closed)
end

return T
