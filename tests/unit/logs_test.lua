--- What comes into log groups, told once and in order, whatever the pages and however late a line is.
local lab = dofile "tests/support/noun_lab.lua"
local logs = require "logs"
local task = require "task"
local test = require "test"
local T = test.cases()

local AT = 1790000000000                -- milliseconds since 1970

local function event(id, seconds, message)
  return { eventId = id, timestamp = AT + seconds * 1000, logStreamName = "web/1", message = message or id }
end

--- Answers FilterLogEvents of a group by its looks, each of them a list of pages; afterwards nothing new comes.
local function world(looks, more)
  local asked, at, page = {}, 0, 0
  local answers = { ["logs FilterLogEvents"] = function(args)
    if not args.nextToken then
      at, page = math.min(at + 1, #looks), 0
      asked[at] = args.startTime - AT
    end
    page = page + 1
    return { events = looks[at][page], nextToken = page < #looks[at] and tostring(page) or nil }
  end }
  for name, answer in pairs(more or {}) do answers[name] = answer end
  lab.world(answers)
  task.simulate(true)
  test.defer(function() task.simulate(false) end)
  return asked
end

local function tail(what, o)
  local lines = {}
  local count = logs.tail(what, function(line) lines[#lines + 1] = line end, o)
  test.equal(count, #lines)
  return lines
end

--- The messages alone.
local function messages(lines)
  for i, line in ipairs(lines) do lines[i] = line:match "%S+ %S+ (.*)$" end
  return table.concat(lines, " ")
end

T["a tail tells each line once: over pages, at the same moment, late ones, and again answered ones"] = function()
  local a, b, c, d, e = event("a", 0), event("b", 1), event("c", 1), event("d", 200), event("e", 90)
  local asked = world { { { a }, { b } }, { { b, c } }, { { b, c, d } }, { { e, d } }, { { e, d }, {} } }
  test.equal(messages(tail("/shop/web", { since = AT // 1000 - 60, seconds = 8 })), "a b c d e")
  test.equal(asked, { -60000, -60000, -60000, 80000, 80000 }, "from then on that may still come")
end

T["lines of several groups come by their time, as the AWS CLI writes them; a group that is not there yet is waited for"] = function()
  local looks = { one = { event("1", 5, "later\n") }, two = { event("2", 3, "earlier") } }
  local there = false
  lab.world { ["logs FilterLogEvents"] = function(args)
    if args.logGroupName == "two" and not there then
      there = true
      return lab.refusal "ResourceNotFoundException"
    end
    return { events = looks[args.logGroupName] }
  end }
  task.simulate(true)
  test.defer(function() task.simulate(false) end)
  test.equal(tail({ "one", "two" }, { since = 0, seconds = 1 }), { "2026-09-21T14:13:25.000000+00:00 web/1 later",
    "2026-09-21T14:13:23.000000+00:00 web/1 earlier" })
  there = true
  test.equal(messages(tail({ "one", "two" }, { since = 0, seconds = 0 })), "earlier later")
end

T["a prefix means the groups that are there at each look, too, and a filter is CloudWatch's"] = function()
  local names, filters = { "/shop/a" }, {}
  lab.world {
    ["logs DescribeLogGroups"] = function(args)
      test.equal(args, { logGroupNamePrefix = "/shop/" })
      local groups = {}
      for i, name in ipairs(names) do groups[i] = { logGroupName = name } end
      names[2] = "/shop/b"
      return { logGroups = groups }
    end,
    ["logs FilterLogEvents"] = function(args)
      filters[args.filterPattern] = true
      return { events = { event(args.logGroupName, 0) } }
    end,
  }
  task.simulate(true)
  test.defer(function() task.simulate(false) end)
  test.equal(messages(tail({ prefix = "/shop/" }, { since = 0, seconds = 3, filter = "ERROR" })), "/shop/a /shop/b")
  test.equal(filters, { ERROR = true })
  test.raises("prefixx", logs.tail, { prefixx = "/shop/" })
end

return T
