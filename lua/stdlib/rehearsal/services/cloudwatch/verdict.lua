--- What state an alarm's data says it is in, by CloudWatch's rules for missing data (Amazon CloudWatch User Guide,
--- "Configuring how CloudWatch alarms treat missing data").

local COMPARE = {
  GreaterThanThreshold = { function(v, t) return v > t end, "greater than" },
  GreaterThanOrEqualToThreshold = { function(v, t) return v >= t end, "greater than or equal to" },
  LessThanThreshold = { function(v, t) return v < t end, "less than" },
  LessThanOrEqualToThreshold = { function(v, t) return v <= t end, "less than or equal to" },
}

local function reason_of(alarm, shown, count, words, state)
  return ("Threshold Crossed: %d out of the last %d datapoints [%s] %s %s the threshold (%s) (minimum %d datapoint%s for %s transition)."):format(
    count, alarm.EvaluationPeriods, table.concat(shown, ", "), state == "ALARM" and "were" or "were not", words, tostring(alarm.Threshold),
    alarm.DatapointsToAlarm or alarm.EvaluationPeriods, (alarm.DatapointsToAlarm or alarm.EvaluationPeriods) == 1 and "" or "s",
    state == "ALARM" and "OK -> ALARM" or "ALARM -> OK")
end

--- The state and why; nil where it stays as it is.
---@param alarm table as PutMetricAlarm took it
---@param values fun(from: number, to: number): table<integer, number> the metric by the beginning of its periods
---@param now number
---@return string? state, string? reason
return function(alarm, values, now)
  local period, count = alarm.Period, alarm.EvaluationPeriods
  local needed = alarm.DatapointsToAlarm or count
  local last = now // period * period                       -- the period that goes on now does not count
  local have = values(last - count * period, last)
  local compare = COMPARE[alarm.ComparisonOperator]
  if not compare then return nil end                        -- bands of anomaly detection are not computed here
  local treat, breaching, fine, missing, shown = alarm.TreatMissingData or "missing", 0, 0, 0, {}
  for at = last - period, last - count * period, -period do
    local v = have[at]
    if not v then missing = missing + 1
    else
      shown[#shown + 1] = ("%s (%s)"):format(tostring(v), os.date("!%d/%m/%y %H:%M:%S", at // 1 | 0))
      if compare[1](v, alarm.Threshold) then breaching = breaching + 1 else fine = fine + 1 end
    end
  end
  local present = breaching + fine
  if present == 0 then
    local reason = ("no datapoints were received for %d period%s"):format(count, count == 1 and "" or "s")
    if treat == "missing" then return "INSUFFICIENT_DATA", "Insufficient Data: " .. reason end
    if treat == "ignore" then return nil end
    return treat == "breaching" and "ALARM" or "OK", ("Threshold Crossed: %s and %d missing datapoint%s treated as [%s]."):format(reason, count,
      count == 1 and " was" or "s were", treat == "breaching" and "Breaching" or "NonBreaching")
  end
  if treat == "breaching" then breaching = breaching + missing
  elseif treat == "notBreaching" then fine = fine + missing
  elseif missing > 0 and fine <= count - needed and present < needed then    -- too little is there to tell
    if treat == "ignore" then return nil end
    if fine == 0 then breaching = needed end                                -- all that is there breaches
  end
  local state = breaching >= needed and "ALARM" or "OK"
  return state, reason_of(alarm, shown, state == "ALARM" and math.min(breaching, count) or fine, compare[2], state)
end
