--- What the query and the ec2 protocol send: one case per rule of "AWS query protocol" and "AWS EC2 query protocol" (Smithy).
-- luacheck: no max line length
local test = require "test"
local json = require "json"
local lab = dofile "tests/support/request_lab.lua"
local T = test.cases()

local struct, list, map = lab.struct, lab.list, lab.map

--- rule, shapes, arguments, form; all on both protocols unless the form is { query =, ec2 = }
local CASES = {
  { "scalars", { In = struct { S = "String", I = "Integer", L = "Long", F = "Float", D = "Double", B = "Boolean" } },
    { S = "a b/é", I = -7, L = 9007199254740993, F = 0.5, D = 1e300, B = false },
    { "B=false", "D=1e%2B300", "F=0.5", "I=-7", "L=9007199254740993", "S=a%20b%2F%C3%A9" } },
  { "numbers that are none", { In = struct { F = "Float", D = "Double", N = "Double", W = "Float" } },
    { F = math.huge, D = -math.huge, N = 0 / 0, W = "NaN" }, { "D=-Infinity", "F=Infinity", "N=NaN", "W=NaN" } },
  { "blobs are base64", { In = struct { B = "Blob" } }, { B = "\0\255" }, { "B=AP8%3D" } },
  { "times are ISO 8601, or as the member or the shape says",
    { In = struct { A = "Timestamp", B = { shape = "Timestamp", timestampFormat = "rfc822" }, C = "Epoch" },
      Epoch = { type = "timestamp", timestampFormat = "unixTimestamp" } },
    { A = 1422172800, B = 1422172800, C = "2015-01-25T08:00:00Z" },
    { "A=2015-01-25T08%3A00%3A00Z", "B=Sun%2C%2025%20Jan%202015%2008%3A00%3A00%20GMT", "C=1422172800" } },
  { "empty strings are sent, null is not", { In = struct { A = "String", B = "String" } }, { A = "", B = json.null }, { "A=" } },
  { "nested structures", { In = struct { A = "Inner" }, Inner = struct { B = "Inner", C = "String" } },
    { A = { B = { B = {}, C = "x" }, C = "y" } }, { "A.B.C=x", "A.C=y" } },
  { "lists", { In = struct { A = "Names", B = "Lists" }, Names = list "String", Lists = list "Names" },
    { A = { "x", "y" }, B = { { "z" } } },
    { query = { "A.member.1=x", "A.member.2=y", "B.member.1.member.1=z" }, ec2 = { "A.1=x", "A.2=y", "B.1.1=z" } } },
  { "the name of a list's members", { In = struct { A = "Names" }, Names = list { shape = "String", locationName = "item" } },
    { A = { "x" } }, { query = { "A.item.1=x" }, ec2 = { "A.1=x" } } },
  { "empty lists", { In = struct { A = "Names" }, Names = list "String" }, { A = {} }, { query = { "A=" }, ec2 = {} } },
  { "flattened lists go by the name of their members, where they have one",
    { In = struct { A = { shape = "Flat", locationName = "Own" }, B = "Named", C = "Inner" }, Inner = struct { B = "Named" },
      Flat = list("String", { flattened = true }), Named = list({ shape = "String", locationName = "Foo" }, { flattened = true }) },
    { A = { "x", "y" }, B = { "z" }, C = { B = { "w" } } },
    { query = { "C.Foo.1=w", "Foo.1=z", "Own.1=x", "Own.2=y" }, ec2 = { "B.1=z", "C.B.1=w", "Own.1=x", "Own.2=y" } } },
  { "members by the model's names", { In = struct { A = { shape = "String", locationName = "b" }, C = { shape = "String", locationName = "d", queryName = "E" } } },
    { A = "1", C = "2" }, { query = { "b=1", "d=2" }, ec2 = { "B=1", "E=2" } } },
  { "maps", { In = struct { A = "Map", B = "Flat", C = "Named" }, Map = map "Integer", Flat = map("String", { flattened = true }),
      Named = map({ shape = "String", locationName = "V" }, { key = { shape = "String", locationName = "K" } }) },
    { A = { b = 2, a = 1 }, B = { x = "y" }, C = { k = "v" } },
    { query = { "A.entry.1.key=a", "A.entry.1.value=1", "A.entry.2.key=b", "A.entry.2.value=2", "B.1.key=x", "B.1.value=y",
                "C.entry.1.K=k", "C.entry.1.V=v" } } },
}

for _, case in ipairs(CASES) do
  local rule, shapes, args, form = table.unpack(case)
  for _, protocol in ipairs { "query", "ec2" } do
    local wanted = form
    if form.query or form.ec2 then wanted = form[protocol] end
    if wanted then
      T[protocol .. ": " .. rule] = function()
        lab.expect(lab.client(protocol, shapes), args, { form = wanted, method = "POST", uri = "/" }, rule)
      end
    end
  end
end

T["query, ec2: the operation, the version and the type of the body"] = function()
  for _, protocol in ipairs { "query", "ec2" } do
    local wanted = { method = "POST", uri = "/", body = "Action=Do&Version=2020-01-01", headers = {
      ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8", ["Content-Length"] = "28", Host = "example.com" } }
    lab.expect(lab.client(protocol, {}), {}, wanted, protocol)
    lab.expect(lab.client(protocol, { In = struct {} }), {}, wanted, protocol)
  end
end

T["query: an operation without its http part is a POST to /"] = function()
  local client = lab.client("query", {}, { op = { http = false } })
  lab.expect(client, {}, { method = "POST", uri = "/" }, "http")
end

T["query: a token that the caller leaves out is made up, one that he gives is kept"] = function()
  local client = lab.client("query", { In = struct { Token = { shape = "String", idempotencyToken = true } } })
  test.match(client:request("do", {}).body, "&Token=%x%x%x%x%x%x%x%x%-%x+%-4%x+%-%x+%-%x+$")
  test.equal(lab.form(client:request("do", { Token = "mine" }).body), { "Token=mine" })
end

return T
