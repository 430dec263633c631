--- Requests of small models written as botocore's tables: what a call puts on the wire, without a server.
local aws = require "aws"
local test = require "test"

local M = {}

--- A use of a shape is its name, or a table with the traits of the use; a plain type stands for a shape of its own.
local function ref(use) return type(use) == "table" and use or { shape = use } end

--- { A = "String", B = { shape = "Names", location = "header" } } -> a structure
function M.struct(members, more)
  local shape = { type = "structure", members = {} }
  for name, use in pairs(members) do shape.members[name] = ref(use) end
  for key, value in pairs(more or {}) do shape[key] = value end
  return shape
end

function M.list(member, more)
  local shape = { type = "list", member = ref(member) }
  for key, value in pairs(more or {}) do shape[key] = value end
  return shape
end

function M.map(value, more)
  local shape = { type = "map", key = { shape = "String" }, value = ref(value) }
  for key, v in pairs(more or {}) do shape[key] = v end
  return shape
end

local TYPES = { String = "string", Integer = "integer", Long = "long", Float = "float", Double = "double", Boolean = "boolean",
                Blob = "blob", Timestamp = "timestamp" }

--- A client of one operation, "Do", whose input is the shape In and whose output is Out, where they are given.
---@param protocol string
---@param shapes table<string, table>
---@param o? { op?: table, meta?: table, client?: table }
function M.client(protocol, shapes, o)
  o = o or {}
  local all = {}
  for name, type_of in pairs(TYPES) do all[name] = { type = type_of } end
  for name, shape in pairs(shapes) do all[name] = shape end
  local op = { name = "Do", http = { method = "POST", requestUri = "/" }, input = shapes.In and { shape = "In" },
               output = shapes.Out and { shape = "Out" } }
  for key, value in pairs(o.op or {}) do op[key] = value end
  local meta = { protocol = protocol, apiVersion = "2020-01-01", jsonVersion = "1.1", targetPrefix = "Toys" }
  for key, value in pairs(o.meta or {}) do meta[key] = value end
  local spec = { model = { metadata = meta, operations = { Do = op }, shapes = all }, region = "us-east-1", endpoint = "https://example.com",
                 credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  for key, value in pairs(o.client or {}) do spec[key] = value end
  return aws.client(spec)
end

--- The URL after the host.
function M.uri(request) return request.url:match "^%a+://[^/]+(.*)$" end

--- "Action=Do&B=2&A=1" -> { "A=1", "B=2" }, sorted.
function M.form(body)
  local list = {}
  for pair in body:gmatch "[^&]+" do
    if not pair:find "^Action=" and not pair:find "^Version=" then list[#list + 1] = pair end
  end
  table.sort(list)
  return list
end

--- Compares the parts of a request that a case names; `absent` lists headers that must not be there.
function M.expect(client, args, wanted, what)
  local request = client:request("do", args)
  local headers = {}
  for name, value in pairs(request.headers) do headers[name:lower()] = value end
  for name, value in pairs(wanted.headers or {}) do test.equal(headers[name:lower()], value, what .. ": " .. name) end
  for _, name in ipairs(wanted.absent or {}) do test.equal(headers[name:lower()], nil, what .. ": " .. name) end
  for _, key in ipairs { "method", "body" } do
    if wanted[key] ~= nil then test.equal(request[key], wanted[key], what .. ": " .. key) end
  end
  if wanted.uri then test.equal(M.uri(request), wanted.uri, what .. ": uri") end
  if wanted.form then test.equal(M.form(request.body), wanted.form, what .. ": form") end
  return request
end

return M
