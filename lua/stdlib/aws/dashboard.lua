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

-- A dashboard has no tags: a line of text below the widgets says whose it is, so that it is known without the journal.
local MARK = "made by hkrun: hkrun:recipe=%s hkrun:key=%s"
local MARKED = "^made by hkrun: hkrun:recipe=(.*) hkrun:key=(.*)$"

local function put(spec, ctx)
  local body, widgets = {}, json.array {}
  for key, v in pairs(spec.body) do body[key] = v end
  for i, widget in ipairs(type(body.widgets) == "table" and body.widgets or {}) do widgets[i] = widget end
  widgets[#widgets + 1] = { type = "text", width = 24, height = 1, properties = { markdown = MARK:format(ctx.recipe, ctx.key) } }
  body.widgets = widgets
  aws.cloudwatch:put_dashboard { DashboardName = spec.name, DashboardBody = json.encode(body, { sort = true }) }
end

--- Takes that line out of a body.
---@return table? tags
local function take_mark(body)
  for i, widget in ipairs(type(body.widgets) == "table" and body.widgets or {}) do
    local text = widget.type == "text" and type(widget.properties) == "table" and widget.properties.markdown
    local of, key = tostring(text or ""):match(MARKED)
    if of then
      table.remove(body.widgets, i)
      return { ["hkrun:recipe"] = of, ["hkrun:key"] = key }
    end
  end
end

return recipe.kind {
  name = "aws.dashboard",
  options = { { "body", "its widgets, in CloudWatch's words: { widgets = { ... } }", type = "table", required = true } },
  outputs = { "arn" }, tagless = true, idempotent = true,    -- PutDashboard replaces the one that there is
  compare = { body = function(want, have) return same(want, have), words(have), words(want) end },

  read = noun.reader(GONE, function(spec)
    local d = aws.cloudwatch:get_dashboard { DashboardName = spec.name }
    local body = json.decode(d.DashboardBody) or {}
    return { id = d.DashboardName, arn = d.DashboardArn, tags = take_mark(body), body = body }
  end),

  create = function(spec, ctx)
    if not spec.name:find "^[%w_%-]+$" then
      errors.usage("aws.dashboard %q: its name may have letters, digits, - and _", spec.name)
    end
    put(spec, ctx)
    return spec.name
  end,

  update = function(spec, _, _, ctx) put(spec, ctx) end,

  delete = function(current)
    noun.delete(GONE, function() aws.cloudwatch:delete_dashboards { DashboardNames = { current.id } } end)
  end,
}
