--- Opens models at run time: a service-2.json or service-2.json.gz of an installed AWS CLI or botocore, with the
--- paginators-1.json and waiters-2.json beside it, or the table that such a file decodes to.
local convert = require "aws.model.convert"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local resource = require "host.resource"
local text = require "aws.model.text"
local zip = require "zip"

local M = {}

local function refuse(path, message, ...)
  errors.raise { kind = "invalid", op = "read the service model " .. path, message = message:format(...) }
end

--- A file as JSON, packed or not; nil if there is none.
local function read(path)
  if not fs.exists(path) then return nil end
  local bytes = fs.read(path)
  if bytes:find "^\x1f\x8b" then
    local ok, plain = pcall(zip.inflate, bytes)
    if not ok then refuse(path, "it is a gzip file that cannot be read") end
    bytes = plain
  end
  local value, err = json.decode(bytes, { ordered = true })
  if value == nil then refuse(path, "%s", err.message) end
  return value
end

local function beside(folder, name) return read(folder .. name) or read(folder .. name .. ".gz") end

local function merge(base, more)
  for key, value in pairs(more) do
    if type(base[key]) == "table" and type(value) == "table" then merge(base[key], value) else base[key] = value end
  end
end

--- The parts of a model, as aws.model.convert takes them, by the path of its service-2.json.
---@param path string
---@return { service: table, paginators?: table, waiters?: table }
function M.parts(path)
  local service = read(path) or refuse(path, "there is no such file")
  local folder, name = path:match "^(.-)([^/]*)$"
  if not name:find "^service%-2%.json" then return { service = service } end
  local extras = beside(folder, "service-2.sdk-extras.json") -- what botocore itself adds
  if extras and type(extras.merge) == "table" and type(service) == "table" then merge(service, extras.merge) end
  return { service = service, paginators = beside(folder, "paginators-1.json"), waiters = beside(folder, "waiters-2.json") }
end

local function shipped(service)
  return service ~= "" and resource.list("stdlib/aws/models/" .. service .. ".txt")[1] ~= nil
end

--- botocore's name of the service: the folder above the version's in its own tree, else what the facts tell.
local function service_name(path, meta)
  local folder = path and path:match "([^/]+)/%d+%-%d+%-%d+/service%-2%.json"
  if folder then return folder end
  local id = tostring(meta.serviceId or ""):lower()
  local hyphens, squeezed, prefix = id:gsub(" ", "-"), id:gsub(" ", ""), tostring(meta.endpointPrefix or "")
  for _, name in ipairs { hyphens, squeezed, prefix } do if shipped(name) then return name end end
  if hyphens ~= "" then return hyphens end
  return prefix ~= "" and prefix or path and path:gsub("%.gz$", ""):gsub("%.json$", ""):match "[^/]*$" or "service"
end

--- Opens a model.
---@param what string|table the path of a service-2.json, or what one decodes to
---@return aws.Model
function M.open(what)
  local path = type(what) == "string" and what or nil
  local parts = path and M.parts(path) or { service = what }
  local where = path or "that was given as a table"
  local written = convert.text(parts, where, "Read from " .. (path or "a table"))
  return text.open((service_name(path, parts.service.metadata):gsub("[^%w-]", "-")), written)
end

return M
