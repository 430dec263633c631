--- What the nouns of DMS share: their tables, their ARNs, filters and pages.
local managed = require "rehearsal.managed"
local sign = require "sign"
local wire = require "rehearsal.wire"

local M = {}

local KINDS = { instances = "rep", endpoints = "endpoint", tasks = "task", subnet_groups = "subgrp", certificates = "cert",
                runs = "assessment-run", assessments = "individual-assessment" }
local NAMES = { instances = "replication instance", endpoints = "endpoint", tasks = "replication task", certificates = "certificate",
                runs = "replication task assessment run" }

--- The resources of a kind in the region, by ARN.
---@param kind "instances"|"endpoints"|"tasks"|"subnet_groups"|"certificates"|"runs"|"assessments"|"connections"
function M.all(cloud, ctx, kind) return managed.table_of(cloud, ctx, "dms", kind) end

function M.missing(fmt, ...) wire.fail("ResourceNotFoundFault", 400, fmt, ...) end
function M.invalid(fmt, ...) wire.fail("InvalidParameterValueException", 400, fmt, ...) end
function M.combination(fmt, ...) wire.fail("InvalidParameterCombinationException", 400, fmt, ...) end
function M.state(fmt, ...) wire.fail("InvalidResourceStateFault", 400, fmt, ...) end
function M.exists(fmt, ...) wire.fail("ResourceAlreadyExistsFault", 400, fmt, ...) end

--- A new ARN: with a random end, or the one that the request asks for.
function M.arn(cloud, ctx, kind, identifier)
  return cloud:arn("dms", ctx.region, KINDS[kind] .. ":" .. (identifier or sign.hex(sign.random(13)):upper()))
end

--- The resource of an ARN.
function M.get(cloud, ctx, kind, arn)
  return M.all(cloud, ctx, kind)[arn] or M.missing("%s %s not found.", (NAMES[kind]:gsub("^%l", string.upper)), arn)
end

--- Checks an identifier, which is kept in lower case, and that it is new.
---@param field string the member that holds it
function M.new_name(cloud, ctx, kind, field, name)
  if not name:find "^%a[%w%-]*$" or name:find "%-%-" or name:find "%-$" or #name > 255 then
    M.invalid("The parameter %s must be provided and must not be blank. It must begin with a letter; must contain only ASCII letters, "
      .. "digits and hyphens; and must not end with a hyphen, or contain two consecutive hyphens.", field)
  end
  for _, other in pairs(M.all(cloud, ctx, kind)) do
    if other[field] == name:lower() then M.exists("%s %s already exists", (NAMES[kind]:gsub("^%l", string.upper)), name:lower()) end
  end
  return name:lower()
end

local function fits(resource, filter, fields)
  local field = fields[filter.Name]
  local value = type(field) == "function" and field(resource) or resource[field]
  for _, wanted in ipairs(filter.Values) do
    for _, own in ipairs(type(value) == "table" and value or { value }) do
      if own == wanted or tostring(own):lower() == wanted:lower() then return true end
    end
  end
  return false
end

--- One page of a list that was filtered. A filter that fits nothing is an error, as the waiters expect.
---@param fields table<string, string|function> the member that a filter looks at; a function may answer a list
---@param what string "Endpoints": what was not found; nil where nothing found is no error
---@return table[] page, string? marker
function M.page(cloud, p, list, fields, what)
  if p.MaxRecords and (p.MaxRecords < 20 or p.MaxRecords > 500) then
    M.invalid("Max records must be between 20 and 500, %d was given", p.MaxRecords)
  end
  for _, filter in ipairs(p.Filters or {}) do
    if not fields[filter.Name] then M.invalid("Invalid filter name: %s", filter.Name) end
  end
  local found = {}
  for _, resource in ipairs(list) do
    local ok = true
    for _, filter in ipairs(p.Filters or {}) do ok = ok and fits(resource, filter, fields) end
    if ok then found[#found + 1] = resource end
  end
  if what and #found == 0 and #(p.Filters or {}) > 0 then M.missing("No %s found matching provided filters", what) end
  return cloud.page(found, p.Marker, p.MaxRecords)
end

M.sorted = managed.sorted

return M
