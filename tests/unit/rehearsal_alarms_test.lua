--- When an alarm of the rehearsal goes off: CloudWatch's rules for missing data.
local test = require "test"
local verdict = require "rehearsal.services.cloudwatch.verdict"
local T = test.cases()

--- The state for the last points, the newest at the right: X is over the threshold, 0 under it, - missing.
local function state(points, missing, more)
  local alarm = { Period = 60, EvaluationPeriods = #points, ComparisonOperator = "GreaterThanThreshold", Threshold = 5, TreatMissingData = missing }
  for k, v in pairs(more or {}) do alarm[k] = v end
  local values = {}
  for i = 1, #points do
    local c = points:sub(i, i)
    values[600 + (i - 1) * 60] = c == "X" and 10 or c == "0" and 1 or nil
  end
  return (verdict(alarm, function(from, to)
    local list = {}
    for at, v in pairs(values) do if at >= from and at < to then list[at] = v end end
    return list
  end, 600 + #points * 60 + 59))
end

T["all points there: it takes so many of them over the threshold"] = function()
  test.equal({ state "XXX", state "X0X", state "000" }, { "ALARM", "OK", "OK" })
  test.equal({ state("X0X", nil, { DatapointsToAlarm = 2 }), state("X00", nil, { DatapointsToAlarm = 2 }) }, { "ALARM", "OK" })
end

T["missing points, as each alarm wants them treated"] = function()
  local rows = {                       -- missing, ignore, breaching, notBreaching
    ["---"] = { "INSUFFICIENT_DATA", nil, "ALARM", "OK" },
    ["--0"] = { "OK", "OK", "OK", "OK" },
    ["-X-"] = { "ALARM", nil, "ALARM", "OK" },
    ["X-X"] = { "ALARM", nil, "ALARM", "OK" },
    ["0-X"] = { "OK", "OK", "OK", "OK" },
    ["XXX"] = { "ALARM", "ALARM", "ALARM", "ALARM" },
  }
  for points, want in pairs(rows) do
    for i, how in ipairs { "missing", "ignore", "breaching", "notBreaching" } do
      test.equal(state(points, how), want[i], ("%s with %s"):format(points, how))
    end
  end
end

T["every comparison, at the threshold and beside it"] = function()
  local rows = { GreaterThanThreshold = { "OK", "OK", "ALARM" }, GreaterThanOrEqualToThreshold = { "OK", "ALARM", "ALARM" },
                 LessThanThreshold = { "ALARM", "OK", "OK" }, LessThanOrEqualToThreshold = { "ALARM", "ALARM", "OK" } }
  for name, want in pairs(rows) do
    for i, value in ipairs { 4, 5, 6 } do
      local alarm = { Period = 60, EvaluationPeriods = 1, ComparisonOperator = name, Threshold = 5 }
      test.equal((verdict(alarm, function(from) return { [from] = value } end, 120)), want[i], ("%s of %d"):format(name, value))
    end
  end
end

T["the reason names the points and the threshold"] = function()
  local _, reason = verdict({ Period = 60, EvaluationPeriods = 1, ComparisonOperator = "GreaterThanThreshold", Threshold = 5.0 },
    function(from) return { [from] = 25.0 } end, 120)
  test.equal(reason, "Threshold Crossed: 1 out of the last 1 datapoints [25.0 (01/01/70 00:01:00)] were greater than the threshold (5.0) "
    .. "(minimum 1 datapoint for OK -> ALARM transition).")
end

return T
