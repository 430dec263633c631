--- Dashboards. They are the account's, of no region. A body is looked at as CloudWatch does: what it cannot draw refuses
--- it, with a message for each fault that names its place.
local json = require "json"
local wire = require "rehearsal.wire"

local S = {}

local WIDTH, WIDGETS = 24, 500
local NEEDS = {                         -- the properties that a kind of widget cannot do without
  text = { "markdown" }, log = { "region", "query" }, metric = { "region" }, alarm = { "alarms" }, custom = { "endpoint" }, explorer = { "metrics" },
}

local function dashboards(cloud)
  local store = cloud:store("cloudwatch", nil)
  store.dashboards = store.dashboards or {}
  return store.dashboards
end

local function is_whole(v, least, most) return math.type(v) == "integer" and v >= least and v <= most end

local function look_at(widget, path, fault)
  local function needs(cond, where, message) if not cond then fault(where, message) end end
  if type(widget) ~= "table" then return fault(path, "Should be object") end
  local kind, properties = widget.type, widget.properties
  if kind == nil then return fault(path, "Should have required property 'type'") end
  if not NEEDS[kind] then
    return fault(path .. "/type", "Should be equal to one of the allowed values: text, metric, log, alarm, custom, explorer")
  end
  for name, most in pairs { width = WIDTH, height = 1000 } do
    needs(widget[name] == nil or is_whole(widget[name], 1, most), ("%s/%s"):format(path, name), ("Should be an integer from 1 to %d"):format(most))
  end
  needs(widget.x == nil or is_whole(widget.x, 0, WIDTH - 1), path .. "/x", "Should be an integer from 0 to 23")
  needs(widget.y == nil or is_whole(widget.y, 0, math.maxinteger), path .. "/y", "Should be an integer of at least 0")
  if type(properties) ~= "table" then return fault(path, "Should have required property 'properties'") end
  for _, name in ipairs(NEEDS[kind]) do
    needs(properties[name] ~= nil, path .. "/properties", ("Should have required property '%s'"):format(name))
  end
  if kind ~= "metric" then return end
  local alarms = type(properties.annotations) == "table" and properties.annotations.alarms
  needs(properties.metrics ~= nil or alarms, path .. "/properties", "Should have required property 'metrics'")
  if type(properties.metrics) ~= "table" then return end
  for i, metric in ipairs(properties.metrics) do
    local words = 0
    for _, word in ipairs(type(metric) == "table" and metric or {}) do words = words + (type(word) == "string" and 1 or 0) end
    local where = ("%s/properties/metrics/%d"):format(path, i - 1)
    local math_of = type(metric) == "table" and type(metric[#metric]) == "table" and metric[#metric].expression
    needs(math_of or words >= 2 and words % 2 == 0, where, "Should have a namespace, a metric name, and names and values of dimensions")
  end
end

local function faults_of(body)
  local faults = {}
  local function fault(path, message) faults[#faults + 1] = { DataPath = path, Message = message } end
  local decoded = json.decode(body)
  if type(decoded) ~= "table" then fault("", "The field DashboardBody must be a valid JSON object") return faults end
  if type(decoded.widgets) ~= "table" then fault("", "The field DashboardBody should have required property 'widgets'") return faults end
  if #decoded.widgets > WIDGETS then fault("/widgets", "Should NOT have more than 500 items") end
  for i, widget in ipairs(decoded.widgets) do look_at(widget, "/widgets/" .. i - 1, fault) end
  return faults
end

function S.PutDashboard(cloud, p)
  if not p.DashboardName:find "^[%w_%-]+$" or #p.DashboardName > 255 then
    wire.fail("InvalidParameterValue", 400, "The value %s for parameter DashboardName is invalid: A-Z, a-z, 0-9, - and _ are allowed",
      p.DashboardName)
  end
  local faults = faults_of(p.DashboardBody)
  if #faults > 0 then
    local shown = {}
    for i, f in ipairs(faults) do shown[i] = { dataPath = f.DataPath, message = f.Message } end
    wire.fail("InvalidParameterInput", 400, "The dashboard body is invalid, there are %d validation errors:\n%s", #faults,
      json.encode(shown, { pretty = true, sort = true }))
  end
  local all = dashboards(cloud)
  local old = all[p.DashboardName]
  all[p.DashboardName] = { name = p.DashboardName, body = p.DashboardBody, modified = cloud.clock:now(), tags = old and old.tags or p.Tags or {} }
  return { DashboardValidationMessages = {} }
end

local function missing(name) wire.fail("ResourceNotFound", 404, "Dashboard %s does not exist", name) end

function S._dashboard_arn(cloud, name) return cloud:arn("cloudwatch", nil, "dashboard/" .. name) end

--- The tags of a dashboard, by its ARN; nil when the ARN is of something else.
function S._dashboard_tags(cloud, arn)
  local name = arn:match ":dashboard/(.*)$"
  if not name then return nil end
  return (dashboards(cloud)[name] or missing(name)).tags
end

function S.GetDashboard(cloud, p)
  local one = dashboards(cloud)[p.DashboardName] or missing(p.DashboardName)
  return { DashboardName = one.name, DashboardBody = one.body, DashboardArn = S._dashboard_arn(cloud, one.name) }
end

function S.ListDashboards(cloud, p)
  local list = {}
  for name, one in pairs(dashboards(cloud)) do
    if not p.DashboardNamePrefix or name:sub(1, #p.DashboardNamePrefix) == p.DashboardNamePrefix then
      list[#list + 1] = { DashboardName = name, DashboardArn = S._dashboard_arn(cloud, name), LastModified = one.modified, Size = #one.body }
    end
  end
  table.sort(list, function(a, b) return a.DashboardName < b.DashboardName end)
  local page, token = cloud.page(list, p.NextToken)
  return { DashboardEntries = page, NextToken = token }
end

--- All of them, or none.
function S.DeleteDashboards(cloud, p)
  local all = dashboards(cloud)
  for _, name in ipairs(p.DashboardNames) do
    if not all[name] then missing(name) end
  end
  for _, name in ipairs(p.DashboardNames) do all[name] = nil end
end

return S
