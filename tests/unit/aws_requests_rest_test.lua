--- What rest-json and rest-xml send: one case per rule of "AWS restJson1", "AWS restXml" and "HTTP binding traits" (Smithy).
-- luacheck: no max line length
local test = require "test"
local fs = require "fs"
local json = require "json"
local lab = dofile "tests/support/request_lab.lua"
local secret = require "secret"
local T = test.cases()

local struct, list, map = lab.struct, lab.list, lab.map

local function at(location, name, shape, more)
  local use = { shape = shape or "String", location = location, locationName = name }
  for key, value in pairs(more or {}) do use[key] = value end
  return use
end

local function http(method, uri) return { op = { http = { method = method, requestUri = uri } } } end

--- rule, HTTP part, shapes, arguments, what is expected; on both protocols unless one is named
local CASES = {
  { "labels of the path are escaped, greedy ones but for slashes", { "GET", "/a/{one}/{rest+}/z" },
    { In = struct { One = at("uri", "one"), Rest = at("uri", "rest") } },
    { One = "x y/%ü", Rest = "k/ü b/~" }, { uri = "/a/x%20y%2F%25%C3%BC/k/%C3%BC%20b/~/z", method = "GET", body = "", absent = { "Content-Type", "Content-Length" } } },
  { "labels of every type", { "GET", "/{i}/{d}/{b}/{t}/{e}/{f}" },
    { In = struct { I = at("uri", "i", "Long"), D = at("uri", "d", "Double"), B = at("uri", "b", "Boolean"), T = at("uri", "t", "Timestamp"),
                    E = at("uri", "e", "Timestamp", { timestampFormat = "unixTimestamp" }), F = at("uri", "f", "Float") } },
    { I = 9007199254740993, D = 1.25, B = true, T = 1422172800, E = 1422172800, F = 0 / 0 },
    { uri = "/9007199254740993/1.25/true/2015-01-25T08%3A00%3A00Z/1422172800/NaN" } },
  { "what the model writes into the query stays, with and without a value", { "GET", "/p?acl&x-id=Do" },
    { In = struct { Q = at("querystring", "q") } }, { Q = "v" }, { uri = "/p?acl&x-id=Do&q=v" } },
  { "so it does without an input", { "GET", "/p?list-type=2&acl" }, {}, {}, { uri = "/p?list-type=2&acl" } },
  { "the query: lists repeat their name, empty text is sent, null and empty lists are not", { "GET", "/" },
    { In = struct { L = at("querystring", "l", "Names"), E = at("querystring", "e"), N = at("querystring", "n"), O = at("querystring", "o", "Names"),
                    I = at("querystring", "i", "Numbers") }, Names = list "String", Numbers = list "Integer" },
    { L = { "a&b", "c" }, E = "", N = json.null, O = {}, I = { 1 } },
    { sorted = { "e=", "i=1", "l=a%26b", "l=c" } } },
  { "the query: times and truth", { "GET", "/" },
    { In = struct { T = at("querystring", "t", "Timestamp"), U = at("querystring", "u", "Timestamp", { timestampFormat = "rfc822" }),
                    B = at("querystring", "b", "Boolean"), L = at("querystring", "l", "Times") }, Times = list "Timestamp" },
    { T = 1422172800, U = 0, B = false, L = { 0 } },
    { sorted = { "b=false", "l=1970-01-01T00%3A00%3A00Z", "t=2015-01-25T08%3A00%3A00Z", "u=Thu%2C%2001%20Jan%201970%2000%3A00%3A00%20GMT" } } },
  { "the query: members of a map, where no other member has the name", { "GET", "/" },
    { In = struct { M = at("querystring", nil, "Map"), L = at("querystring", nil, "Lists"), Q = at("querystring", "q") }, Map = map "String",
      Names = list "String", Lists = map "Names" },
    { M = { q = "from the map", r = "1" }, L = { s = { "2", "3" } }, Q = "own" }, { sorted = { "q=own", "r=1", "s=2", "s=3" } } },
  { "headers of every type", { "GET", "/" },
    { In = struct { S = at("header", "X-S"), I = at("header", "X-I", "Integer"), F = at("header", "X-F", "Float"), B = at("header", "X-B", "Boolean"),
                    T = at("header", "X-T", "Timestamp"), U = at("header", "X-U", "Timestamp", { timestampFormat = "iso8601" }),
                    E = at("header", "X-E"), N = at("header", "X-N") } },
    { S = "text", I = 5, F = 1.5, B = true, T = 1422172800, U = 0, E = "", N = json.null },
    { headers = { ["X-S"] = "text", ["X-I"] = "5", ["X-F"] = "1.5", ["X-B"] = "true", ["X-T"] = "Sun, 25 Jan 2015 08:00:00 GMT",
                  ["X-U"] = "1970-01-01T00:00:00Z", ["X-E"] = "" }, absent = { "X-N" } } },
  { "headers: lists, quoted where a comma or a quote asks for it, no empty ones", { "GET", "/" },
    { In = struct { L = at("header", "X-L", "Names"), I = at("header", "X-I", "Numbers"), T = at("header", "X-T", "Times"), E = at("header", "X-E", "Names") },
      Names = list "String", Numbers = list "Integer", Times = list "Timestamp" },
    { L = { "a", "b,c", 'd"e', "f g" }, I = { 1, 2 }, T = { 0 }, E = {} },
    { headers = { ["X-L"] = 'a,"b,c","d\\"e",f g', ["X-I"] = "1,2", ["X-T"] = "Thu, 01 Jan 1970 00:00:00 GMT" }, absent = { "X-E" } } },
  { "headers: those of a map have a prefix", { "GET", "/" }, { In = struct { M = at("headers", "X-Meta-", "Map") }, Map = map "String" },
    { M = { a = "1", B = "2" } }, { headers = { ["X-Meta-a"] = "1", ["X-Meta-B"] = "2" } } },
  { "headers: any value as JSON in base64", { "GET", "/" }, { In = struct { J = at("header", "X-J", "String", { jsonvalue = true }) } },
    { J = { a = { 1, "b" } } }, { headers = { ["X-J"] = "eyJhIjpbMSwiYiJdfQ==" } } },
  { "the payload is a text", { "PUT", "/" }, { In = struct({ P = "String", H = at("header", "X-H") }, { payload = "P" }) }, { P = "text", H = "h" },
    { body = "text", headers = { ["Content-Type"] = "text/plain", ["X-H"] = "h", ["Content-Length"] = "4" } } },
  { "the payload is bytes", { "PUT", "/" }, { In = struct({ P = "Blob" }, { payload = "P" }) }, { P = "\0\255" },
    { body = "\0\255", headers = { ["Content-Type"] = "application/octet-stream" } } },
  { "the payload's type is the caller's", { "PUT", "/" }, { In = struct({ P = "Blob", C = at("header", "Content-Type") }, { payload = "P" }) },
    { P = "x", C = "image/png" }, { body = "x", headers = { ["Content-Type"] = "image/png" } } },
  { "no payload, no type", { "PUT", "/" }, { In = struct({ P = "Blob" }, { payload = "P" }) }, {}, { body = "", absent = { "Content-Type" } } },
  { "no input, no body, no type", { "POST", "/" }, {}, {}, { body = "", headers = { ["Content-Length"] = "0" }, absent = { "Content-Type" } } },
  { "members elsewhere, no body", { "POST", "/" }, { In = struct { Q = at("querystring", "q") } }, { Q = "1" }, { body = "", absent = { "Content-Type" } } },
  { "rest-json: an object even without members", { "POST", "/" }, { In = struct { A = "String", Q = at("querystring", "q") } }, {},
    { body = "{}", headers = { ["Content-Type"] = "application/json" } } },
  { "rest-json: a payload that is left out", { "POST", "/" }, { In = struct({ P = "Inner" }, { payload = "P" }), Inner = struct { A = "String" } }, {},
    { body = "{}", headers = { ["Content-Type"] = "application/json" } } },
  { "rest-json: the payload is a structure", { "POST", "/" }, { In = struct({ P = "Inner", H = at("header", "X-H") }, { payload = "P" }), Inner = struct { A = "String" } },
    { P = { A = "x" }, H = "h" }, { body = '{"A":"x"}', headers = { ["X-H"] = "h", ["Content-Type"] = "application/json" } } },
  { "rest-json: the payload is a list", { "POST", "/" }, { In = struct({ P = "Names" }, { payload = "P" }), Names = list "String" }, { P = { "a" } }, { body = '["a"]' } },
  { "rest-json: the payload is a document", { "POST", "/" }, { In = struct({ P = "Free" }, { payload = "P" }), Free = { type = "structure", members = {}, document = true } },
    { P = "text" }, { body = '"text"' } },
  { "rest-json: only the body's members are in the body", { "POST", "/{u}" },
    { In = struct { A = { shape = "String", locationName = "a" }, U = at("uri", "u"), H = at("header", "h"), Q = at("querystring", "q") } },
    { A = "1", U = "2", H = "3", Q = "4" }, { uri = "/2?q=4", body = '{"a":"1"}', headers = { h = "3" } } },
  { "rest-xml: nothing where nothing is given", { "POST", "/" }, { In = struct { A = "String" } }, {}, { body = "", absent = { "Content-Type" } } },
  { "rest-xml: scalars, escaped", { "POST", "/" }, { In = struct { A = { shape = "String", locationName = "a" } } }, { A = "<&>\r\n" },
    { body = "<In><a>&lt;&amp;&gt;&#13;&#10;</a></In>", headers = { ["Content-Type"] = "application/xml" } } },
  { "rest-xml: times, bytes, numbers", { "POST", "/" }, { In = struct { T = "Times" }, Times = list "Timestamp" }, { T = { 0 } },
    { body = "<In><T><member>1970-01-01T00:00:00Z</member></T></In>" } },
  { "rest-xml: lists by the name of their members, flattened ones by their own", { "POST", "/" },
    { In = struct { L = "Outer" }, Outer = struct { F = { shape = "Flat", locationName = "f" } }, Flat = list({ shape = "String", locationName = "ignored" }, { flattened = true }) },
    { L = { F = { "a", "b" } } }, { body = "<In><L><f>a</f><f>b</f></L></In>" } },
  { "rest-xml: named members of a list", { "POST", "/" }, { In = struct { L = "Names" }, Names = list { shape = "String", locationName = "item" } },
    { L = { "a" } }, { body = "<In><L><item>a</item></L></In>" } },
  { "rest-xml: maps", { "POST", "/" }, { In = struct { M = "Map" }, Map = map "Integer" }, { M = { b = 2, a = 1 } },
    { body = "<In><M><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></M></In>" } },
  { "rest-xml: flattened maps with names", { "POST", "/" },
    { In = struct { M = { shape = "Map", locationName = "KVP" } },
      Map = map({ shape = "String", locationName = "V" }, { key = { shape = "String", locationName = "K" }, flattened = true }) },
    { M = { a = "1" } }, { body = "<In><KVP><K>a</K><V>1</V></KVP></In>" } },
  { "rest-xml: attributes and namespaces with prefixes", { "POST", "/" },
    { In = struct { G = { shape = "Grantee", locationName = "Grantee" } },
      Grantee = struct({ T = { shape = "String", locationName = "xsi:type", xmlAttribute = true }, E = "String" },
                       { xmlNamespace = { prefix = "xsi", uri = "http://www.w3.org/2001/XMLSchema-instance" } }) },
    { G = { T = "User", E = "e" } },
    { body = '<In><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="User"><E>e</E></Grantee></In>' } },
  { "rest-xml: the payload is an element, by its location name", { "PUT", "/" },
    { In = struct({ P = { shape = "Inner", locationName = "Config", xmlNamespace = { uri = "http://x/" } } }, { payload = "P" }), Inner = struct { A = "String" } },
    { P = { A = "1" } }, { body = '<Config xmlns="http://x/"><A>1</A></Config>' } },
}

local function tail(uri)
  local parts = {}
  for pair in uri:match "%?(.*)$":gmatch "[^&]+" do parts[#parts + 1] = pair end
  table.sort(parts)
  return parts
end

for _, case in ipairs(CASES) do
  local rule, place, shapes, args, wanted = table.unpack(case)
  for _, protocol in ipairs { "rest-json", "rest-xml" } do
    local only = rule:match "^(rest%-%w+): "
    if not only or only == protocol then
      T[only and rule or protocol .. ": " .. rule] = function()
        local request = lab.expect(lab.client(protocol, shapes, http(place[1], place[2])), args, wanted, rule)
        if wanted.sorted then test.equal(tail(request.url), wanted.sorted) end
      end
    end
  end
end

T["rest-xml: the root by the operation's input, with its namespace"] = function()
  local o = { op = { http = { method = "POST", requestUri = "/" }, input = { shape = "In", locationName = "Root", xmlNamespace = { uri = "http://toys/" } } } }
  lab.expect(lab.client("rest-xml", { In = struct { A = "String" } }, o), { A = "1" }, { body = '<Root xmlns="http://toys/"><A>1</A></Root>' }, "root")
end

T["a body is streamed from a file, whole or in part"] = function()
  local path = test.tmpdir() .. "/body"
  fs.write(path, "0123456789")
  local client = lab.client("rest-json", { In = struct({ P = { shape = "Blob", streaming = true } }, { payload = "P" }) }, http("PUT", "/"))
  local request = client:request("do", { P = { file = path } })
  test.equal({ request.body.file, request.headers["Content-Length"] }, { path, "10" })
  local part = client:request("do", { P = { file = path, offset = 2, length = 3 } })
  test.equal({ part.body.offset, part.headers["Content-Length"] }, { 2, "3" })
  local same = client:request("do", { P = "234" })
  local function signature(r) return r.headers.Authorization:match "Signature=(%x+)" end
  test.equal(signature(part), signature(same), "the signature covers the piece")
end

T["a secret stays one: in a header, in the query, in the body; in a path it is refused"] = function()
  local shapes = { In = struct { H = at("header", "X-H"), Q = at("querystring", "q"), B = "String", U = at("uri", "u") } }
  local client = lab.client("rest-json", shapes, http("POST", "/{u}"))
  local request = client:request("do", { H = secret.new "h", Q = secret.new "q &", B = secret.new "b", U = "u" })
  test.truthy(secret.is(request.headers["X-H"]) and secret.equal(request.headers["X-H"], "h"))
  test.truthy(secret.equal(request.url, "https://example.com/u?q=q%20%26"))
  test.truthy(secret.equal(request.body, '{"B":"b"}'))
  local plain = client:request("do", { H = "h", Q = "q &", B = "b", U = "u" })
  test.equal(request.headers.Authorization:match "Signature=%x+", plain.headers.Authorization:match "Signature=%x+")
  test.raises("U must be a plain string, for it is part of the path, not a secret", client.request, client, "do", { U = secret.new "u" })
end

return T
