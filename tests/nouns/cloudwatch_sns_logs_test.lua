--- Log groups, topics, subscriptions and alarms, request by request (see tests/support/noun_lab.lua).
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }

local AGE = { pattern = "{ $.Age = * }", namespace = "Shop", metric = "Age", value = "$.Age", dimensions = { Queue = "$.Queue" }, unit = "Seconds" }

lab.case(T, {
  noun = "log_group", want = { "/shop/web", days = 7 },
  absent = { ["logs DescribeLogGroups"] = { logGroups = { { logGroupName = "/shop/web-old", arn = "arn:old:*" } } } },
  there = {
    ["logs DescribeLogGroups"] = { logGroups = { { logGroupName = "/shop/web-old", arn = "arn:old:*" },
      { logGroupName = "/shop/web", arn = "arn:web:*", retentionInDays = 7 } } },
    ["logs ListTagsForResource"] = { tags = lab.tags("log_group", "/shop/web") },
  },
  looks = { { "logs DescribeLogGroups", { logGroupNamePrefix = "/shop/web" } }, { "logs ListTagsForResource", { resourceArn = "arn:web" } } },
  gone = { ["logs ListTagsForResource"] = "ResourceNotFoundException" },
  create = {
    { "logs CreateLogGroup", { logGroupName = "/shop/web", tags = lab.tags("log_group", "/shop/web") } },
    { "logs PutRetentionPolicy", { logGroupName = "/shop/web", retentionInDays = 7 } },
  },
  change = {
    { "it keeps its lines longer", want = { days = 30 },
      calls = { { "logs PutRetentionPolicy", { logGroupName = "/shop/web", retentionInDays = 30 } } } },
    { "one that would keep them for ever no longer does",
      there = { ["logs DescribeLogGroups"] = { logGroups = { { logGroupName = "/shop/web", arn = "arn:web:*" } } } },
      calls = { { "logs PutRetentionPolicy", { logGroupName = "/shop/web", retentionInDays = 7 } } } },
    { "a tag is added", want = TEAM, calls = { { "logs TagResource", { resourceArn = "arn:web", tags = { team = "shop" } } } } },
    { "a metric is made of its lines, and others stay", want = { metrics = { age = AGE } },
      there = { ["logs DescribeMetricFilters"] = { metricFilters = { { filterName = "other", metricTransformations = { {} } } } } },
      calls = { { "logs PutMetricFilter", { logGroupName = "/shop/web", filterName = "age", filterPattern = "{ $.Age = * }",
        metricTransformations = { { metricNamespace = "Shop", metricName = "Age", metricValue = "$.Age", dimensions = { Queue = "$.Queue" },
                                    unit = "Seconds" } } } } } },
  },
  delete = { { "logs DeleteLogGroup", { logGroupName = "/shop/web" } } },
})

local TOPIC = "arn:aws:sns:us-east-1:1:shop"
lab.case(T, {
  noun = "topic", want = { "shop" },
  absent = { ["sns ListTopics"] = { Topics = { { TopicArn = TOPIC .. "-other" } } } },
  there = { ["sns ListTopics"] = { Topics = { { TopicArn = TOPIC .. "-other" }, { TopicArn = TOPIC } } },
            ["sns ListTagsForResource"] = { Tags = lab.tag_list("topic", "shop") } },
  looks = { { "sns ListTopics", {} }, { "sns ListTagsForResource", { ResourceArn = TOPIC } } },
  gone = { ["sns ListTagsForResource"] = "ResourceNotFound" },
  create = { { "sns CreateTopic", { Name = "shop", Tags = lab.tag_list("topic", "shop") }, { TopicArn = TOPIC } } },
  change = { { "a tag is added", want = TEAM, calls = { { "sns TagResource", { ResourceArn = TOPIC, Tags = ADDED } } } } },
  delete = { { "sns DeleteTopic", { TopicArn = TOPIC } } },
})

local function subscribed(arn, endpoint)
  return { Subscriptions = { { SubscriptionArn = arn, Protocol = "email", Endpoint = endpoint or "ops@example.com", TopicArn = TOPIC } } }
end
local subscribe = { "sns Subscribe", { TopicArn = TOPIC, Protocol = "email", Endpoint = "ops@example.com", ReturnSubscriptionArn = true } }

lab.case(T, {
  noun = "subscription", want = { "ops", topic = TOPIC, endpoint = "ops@example.com" },
  absent = { ["sns ListSubscriptionsByTopic"] = subscribed(TOPIC .. ":2", "other@example.com") },
  there = { ["sns ListSubscriptionsByTopic"] = subscribed(TOPIC .. ":1") },
  looks = { { "sns ListSubscriptionsByTopic", { TopicArn = TOPIC } } },
  create = { subscribe },
  delete = { { "sns Unsubscribe", { SubscriptionArn = TOPIC .. ":1" } } },
})

--- A topic that knows what was subscribed to it, and gives each the ARN that `arn_of` says.
local function topic(arn_of)
  local list = {}
  return lab.world {
    ["sns ListSubscriptionsByTopic"] = function() return { Subscriptions = list } end,
    ["sns Subscribe"] = function(args)
      list[#list + 1] = { Protocol = args.Protocol, Endpoint = args.Endpoint, SubscriptionArn = arn_of(args.Endpoint) }
      return {}
    end,
    ["sns Unsubscribe"] = function(args)
      for i, s in ipairs(list) do if s.SubscriptionArn == args.SubscriptionArn then table.remove(list, i) end end
      return {}
    end,
  }
end

local function ops(endpoint) return function() aws.subscription { "ops", topic = TOPIC, endpoint = endpoint } end end

T["aws.subscription: another address takes the place of the first, which gets no more mail"] = function()
  local l, world = recipe_lab(), topic(function(endpoint) return "arn:" .. endpoint end)
  l:apply(ops "ops@example.com")
  world.changing = {}
  l:apply(ops "new@example.com")
  lab.same(world.changing, {
    { "sns Unsubscribe", { SubscriptionArn = "arn:ops@example.com" } },
    { "sns Subscribe", { TopicArn = TOPIC, Protocol = "email", Endpoint = "new@example.com", ReturnSubscriptionArn = true } },
  })
end

T["aws.subscription: one that is not confirmed is said to be, and is left to end by itself"] = function()
  local l, world = recipe_lab(), topic(function() return "PendingConfirmation" end)
  l:apply(ops "ops@example.com")
  test.match(l:text(), "ops@example.com gets no messages until it confirms")
  world.changing = {}
  l:destroy(ops "ops@example.com")
  lab.same(world.changing, {})
  test.match(l:text(), "nothing left")
end

local function alarm(more)
  return { MetricAlarms = { lab.merged({ AlarmName = "shop-cpu", AlarmArn = "arn:al", StateValue = "OK", Namespace = "AWS/RDS",
    MetricName = "CPUUtilization", Dimensions = { { Name = "DBInstanceIdentifier", Value = "shop" } }, Statistic = "Average", Period = 300,
    EvaluationPeriods = 2, ComparisonOperator = "GreaterThanThreshold", Threshold = 80.0, TreatMissingData = "missing",
    ActionsEnabled = true, AlarmActions = { TOPIC }, OKActions = {} }, more or {}) } }
end

local function put(more)
  return { "cloudwatch PutMetricAlarm", lab.merged({ AlarmName = "shop-cpu", Namespace = "AWS/RDS", MetricName = "CPUUtilization",
    Dimensions = { { Name = "DBInstanceIdentifier", Value = "shop" } }, Statistic = "Average", Period = 300, EvaluationPeriods = 2,
    ComparisonOperator = "GreaterThanThreshold", Threshold = 80, TreatMissingData = "missing", AlarmActions = { TOPIC }, OKActions = {},
    ActionsEnabled = true }, more or {}) }
end

lab.case(T, {
  noun = "alarm", want = { "shop-cpu", namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = "shop" },
                           threshold = 80, actions = { TOPIC } },
  absent = { ["cloudwatch DescribeAlarms"] = { MetricAlarms = {} } },
  there = { ["cloudwatch DescribeAlarms"] = alarm(), ["cloudwatch ListTagsForResource"] = { Tags = lab.tag_list("alarm", "shop-cpu") } },
  looks = { { "cloudwatch DescribeAlarms", { AlarmNames = { "shop-cpu" }, AlarmTypes = { "MetricAlarm" } } },
            { "cloudwatch ListTagsForResource", { ResourceARN = "arn:al" } } },
  gone = { ["cloudwatch ListTagsForResource"] = "ResourceNotFoundException" },
  create = { put { Tags = lab.tag_list("alarm", "shop-cpu") } },
  change = {
    { "another threshold", want = { threshold = 90 }, calls = { put { Threshold = 90 } } },
    { "another metric, of something else", want = { metric = "FreeStorageSpace", dimensions = { DBInstanceIdentifier = "other" },
        comparison = "LessThanThreshold" },
      calls = { put { MetricName = "FreeStorageSpace", Dimensions = { { Name = "DBInstanceIdentifier", Value = "other" } },
                      ComparisonOperator = "LessThanThreshold" } } },
    { "a topic that someone took out is told again", there = { ["cloudwatch DescribeAlarms"] = alarm { AlarmActions = {} } },
      calls = { put() } },
    { "it is silent because someone asked for that", there = { ["cloudwatch DescribeAlarms"] = alarm { ActionsEnabled = false } },
      calls = { put() } },
    { "someone made it wait for fewer periods", there = { ["cloudwatch DescribeAlarms"] = alarm { DatapointsToAlarm = 1 } }, calls = { put() } },
    { "someone made it look at one unit only", there = { ["cloudwatch DescribeAlarms"] = alarm { Unit = "Count" } }, calls = { put() } },
    { "a tag is added, and nothing else is put", want = TEAM,
      calls = { { "cloudwatch TagResource", { ResourceARN = "arn:al", Tags = ADDED } } } },
  },
  delete = { { "cloudwatch DeleteAlarms", { AlarmNames = { "shop-cpu" } } } },
})

local json = require "json"
local BODY = { widgets = { { type = "metric", width = 12, height = 6, properties = { region = "us-east-1", title = "CPU",
  metrics = { { "AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", "shop", { stat = "Maximum" } } } } } } }

--- With the line that says whose it is.
local function marked(body)
  local copy = json.decode(json.encode(body))
  table.insert(copy.widgets, { type = "text", width = 24, height = 1, properties = {
    markdown = "made by hkrun: hkrun:recipe=lab hkrun:key=aws.dashboard:shop" } })
  return copy
end

--- The dashboard as the console would have saved it, with changes.
local function board(change)
  local body = marked(BODY)
  if change then change(body.widgets[1], body) end
  return { DashboardName = "shop", DashboardArn = "arn:board", DashboardBody = json.encode(body, { pretty = true }) }
end

local function put_board(body)
  return { "cloudwatch PutDashboard", { DashboardName = "shop", DashboardBody = json.encode(marked(body), { sort = true }) } }
end

lab.case(T, {
  noun = "dashboard", want = { "shop", body = BODY },
  absent = { ["cloudwatch GetDashboard"] = lab.refusal("ResourceNotFound", 404) },
  there = { ["cloudwatch GetDashboard"] = board() },
  looks = { { "cloudwatch GetDashboard", { DashboardName = "shop" } } },
  create = { put_board(BODY) },
  change = {
    { "someone took a metric for another", calls = { put_board(BODY) },
      there = { ["cloudwatch GetDashboard"] = board(function(w) w.properties.metrics[1][2] = "FreeStorageSpace" end) } },
    { "someone added a widget", calls = { put_board(BODY) },
      there = { ["cloudwatch GetDashboard"] = board(function(w, body) table.insert(body.widgets, w) end) } },
    { "someone stacked a graph", calls = { put_board(BODY) },
      there = { ["cloudwatch GetDashboard"] = board(function(w) w.properties.stacked = true end) } },
    { "someone left nothing of it", calls = { put_board(BODY) },
      there = { ["cloudwatch GetDashboard"] = { DashboardName = "shop", DashboardArn = "arn:board", DashboardBody = "{}" } } },
  },
  delete = { { "cloudwatch DeleteDashboards", { DashboardNames = { "shop" } } } },
})

T["aws.dashboard: one that the console saved, with what it takes anyway written down, is the same"] = function()
  local function saved(change)
    lab.world { ["cloudwatch GetDashboard"] = board(change) }
    return recipe_lab():plan(function() aws.dashboard { "shop", body = BODY } end).entries[1].action
  end
  test.equal(saved(function(w, body)
    w.properties.view, w.properties.stacked, w.properties.period, body.periodOverride = "timeSeries", false, 300, "auto"
  end), "none")
  test.equal(saved(function(w) w.properties.period = 60 end), "change")
end

T["aws.confirmations: who has not confirmed is known, asked again, and waited for"] = function()
  local world, asked = topic(function(address) return address == "old@example.com" and "arn:old" or "PendingConfirmation" end), 0
  aws.sns:subscribe { TopicArn = TOPIC, Protocol = "email", Endpoint = "old@example.com" }
  aws.sns:subscribe { TopicArn = TOPIC, Protocol = "email", Endpoint = "ops@example.com" }
  test.equal(aws.confirmations(TOPIC):pending(), { "ops@example.com" })
  world.changing = {}
  aws.confirmations({ id = TOPIC }):resend "ops@example.com"
  lab.same(world.changing, { subscribe })
  local asked_of = aws.confirmations(TOPIC)
  test.raises("old@example.com is confirmed already", asked_of.resend, asked_of, "old@example.com")
  test.raises("nobody followed the link.*junk", asked_of.wait, asked_of, "ops@example.com", 0)
  local real = world.answers["sns ListSubscriptionsByTopic"]
  world.answers["sns ListSubscriptionsByTopic"] = function(args)
    asked = asked + 1
    local list = real(args)
    if asked == 1 then list.Subscriptions[2].SubscriptionArn = "arn:ops" end       -- someone follows the link now
    return list
  end
  asked_of:wait("ops@example.com", 60)
  test.equal(asked, 1)
end

return T
