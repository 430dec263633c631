--- When the rehearsal's schedules fire.
local expression = require "rehearsal.services.scheduler.expression"
local test = require "test"
local T = test.cases()

local NOW = 1795435200                                       -- Mon 2026-11-23 12:00:00 UTC

local function times(text, count)
  local parsed, list, at = expression.parse(text), {}, NOW
  for i = 1, count or 2 do
    at = at and expression.next(parsed, at, NOW - 90)
    list[i] = at and os.date("!%a %d %H:%M:%S", math.floor(at)) or "never"
  end
  return list
end

T["rates count from when they were made, times of the day stand fast"] = function()
  test.equal(times "rate(10 minutes)", { "Mon 23 12:08:30", "Mon 23 12:18:30" })
  test.equal(times "cron(0/10 * * * ? *)", { "Mon 23 12:10:00", "Mon 23 12:20:00" })
  test.equal(times "cron(20 * * * ? *)", { "Mon 23 12:20:00", "Mon 23 13:20:00" })
  test.equal(times "cron(30 3 * * ? *)", { "Tue 24 03:30:00", "Wed 25 03:30:00" })
  test.equal(times "cron(0 8 ? * MON-FRI *)", { "Tue 24 08:00:00", "Wed 25 08:00:00" })
  test.equal(times "cron(15,45 12 1 JAN ? *)", { "Fri 01 12:15:00", "Fri 01 12:45:00" })
  test.equal(times "at(2026-11-23T12:00:01)", { "Mon 23 12:00:01", "never" })
end

T["what is no expression is refused"] = function()
  for _, text in ipairs { "cron(0/10 * * * * *)", "cron(0 * * ? ? *)", "cron(60 * * * ? *)", "cron(* * * ? *)", "rate(0 minutes)", "rate(1 week)",
                          "every day", "cron(0 0 ? * XYZ *)", "at(tomorrow)" } do
    test.equal(expression.parse(text), nil, text)
  end
end

return T
