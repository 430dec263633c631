--- A CloudWatch dashboard. Its body is a table in the words of CloudWatch ("Dashboard body structure and syntax"); a body
--- that someone saved in the console is the same one as long as it shows the same.
---
---     aws.dashboard { "shop", body = { widgets = { { type = "metric", width = 12, height = 6, properties = {
---       region = "us-east-1", title = "CPU", metrics = { { "AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", "shop" } } } } } } }
local aws = require "aws"
local errors = require "errors"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFound DashboardNotFoundError"

--- What CloudWatch takes for a property that is left out: the console writes these down.
local DEFAULTS = { view = "timeSeries", stacked = false, stat = "Average", period = 300, periodOverride = "auto", start = "-PT3H", sparkline = true,
                   liveData = false, setPeriodToTimeRange = false, legend = { position = "bottom" }, yAxis = { left = {}, right = {} } }

--- Whether two bodies show the same: every member of one is in the other, or is what is taken when it is left out.
local function same(want, have, inside)
  if recipe.is_unknown(want) then return false end
  if type(want) ~= "table" or type(have) ~= "table" then return want == have end
  for key, v in pairs(want) do
    if have[key] == nil and not (inside and same(v, DEFAULTS[key], true)) then return false end
    if have[key] ~= nil and not same(v, have[key], true) then return false end
  end
  for key, v in pairs(have) do
    if want[key] == nil and not (type(key) == "string" and DEFAULTS[key] ~= nil and same(DEFAULTS[key], v, true)) then return false end
  end
  return true
end

--- What a plan shows of a body: not the body.
local function words(body)
  if recipe.is_unknown(body) or type(body) ~= "table" or type(body.widgets) ~= "table" then return body end
  return ("%d widgets"):format(#body.widgets)
end

local function put(spec)
  aws.cloudwatch:put_dashboard { DashboardName = spec.name, DashboardBody = json.encode(spec.body, { sort = true }) }
end

return recipe.kind {
  name = "aws.dashboard",
  options = { { "body", "its widgets, in CloudWatch's words: { widgets = { ... } }", type = "table", required = true } },
  outputs = { "arn" }, tagless = true, idempotent = true,    -- PutDashboard replaces the one that there is
  compare = { body = function(want, have) return same(want, have), words(have), words(want) end },

  read = noun.reader(GONE, function(spec)
    local d = aws.cloudwatch:get_dashboard { DashboardName = spec.name }
    return { id = d.DashboardName, arn = d.DashboardArn, body = json.decode(d.DashboardBody) or {} }
  end),

  create = function(spec)
    if not spec.name:find "^[%w_%-]+$" then
      errors.usage("aws.dashboard %q: its name may have letters, digits, - and _", spec.name)
    end
    put(spec)
    return spec.name
  end,

  update = function(spec) put(spec) end,

  delete = function(current)
    noun.delete(GONE, function() aws.cloudwatch:delete_dashboards { DashboardNames = { current.id } } end)
  end,
}
