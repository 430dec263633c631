--- Amazon SNS in the rehearsal: an e-mail is a file in the cloud's folder.
local fs = require "fs"
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local function topics(cloud, region)
  local store = cloud:store("sns", region)
  store.topics = store.topics or {}
  return store.topics
end

local function get(cloud, ctx, arn)
  return topics(cloud, ctx.region)[arn] or wire.fail("NotFound", 404, "Topic does not exist")
end

local function mail(cloud, address, subject, text)
  local dir = fs.join(cloud.dir, "mail")
  fs.mkdir_p(dir)
  cloud.mails = (cloud.mails or 0) + 1
  fs.write(fs.join(dir, ("%03d-%s.eml"):format(cloud.mails, address:gsub("[^%w@%.]", "_"))),
    ("To: %s\nFrom: AWS Notifications <no-reply@sns.amazonaws.com>\nSubject: %s\n\n%s\n"):format(address, subject, text))
end

function S.CreateTopic(cloud, p, ctx)
  if not p.Name:find "^[%w_%-]+%.?%w*$" then wire.fail("InvalidParameter", 400, "Invalid parameter: Topic Name") end
  local arn = cloud:arn("sns", ctx.region, p.Name)
  local all = topics(cloud, ctx.region)
  all[arn] = all[arn] or { arn = arn, tags = p.Tags or {}, attributes = p.Attributes or {}, subscriptions = {} }
  return { TopicArn = arn }
end

function S.GetTopicAttributes(cloud, p, ctx)
  local t = get(cloud, ctx, p.TopicArn)
  local confirmed, pending = 0, 0
  for _, s in ipairs(t.subscriptions) do if s.confirmed then confirmed = confirmed + 1 else pending = pending + 1 end end
  local attributes = { TopicArn = t.arn, Owner = cloud.account,
                       SubscriptionsConfirmed = tostring(confirmed), SubscriptionsPending = tostring(pending),
                       SubscriptionsDeleted = "0", DisplayName = t.attributes.DisplayName or "",
                       Policy = t.attributes.Policy or '{"Version":"2008-10-17","Statement":[]}' }
  for name, value in pairs(t.attributes) do attributes[name] = value end
  return { Attributes = attributes }
end

function S.SetTopicAttributes(cloud, p, ctx)
  get(cloud, ctx, p.TopicArn).attributes[p.AttributeName] = p.AttributeValue
end

function S.ListTopics(cloud, p, ctx)
  local list = {}
  for arn in pairs(topics(cloud, ctx.region)) do list[#list + 1] = { TopicArn = arn } end
  table.sort(list, function(a, b) return a.TopicArn < b.TopicArn end)
  local page, token = cloud.page(list, p.NextToken)
  return { Topics = page, NextToken = token }
end

function S.DeleteTopic(cloud, p, ctx) topics(cloud, ctx.region)[p.TopicArn] = nil end

--- An e-mail address has to confirm, with the link in the mail that it gets.
function S.Subscribe(cloud, p, ctx)
  local t = get(cloud, ctx, p.TopicArn)
  for _, s in ipairs(t.subscriptions) do
    if s.protocol == p.Protocol and s.endpoint == p.Endpoint then
      return { SubscriptionArn = s.confirmed and s.arn or "pending confirmation" }
    end
  end
  local s = { protocol = p.Protocol, endpoint = p.Endpoint, arn = t.arn .. ":" .. sign.uuid(), confirmed = p.Protocol ~= "email",
              token = sign.hex(sign.random(32)) }
  table.insert(t.subscriptions, s)
  if p.Protocol == "email" then
    if not p.Endpoint:find "^[^@%s]+@[^@%s]+$" then wire.fail("InvalidParameter", 400, "Invalid parameter: Email address") end
    mail(cloud, p.Endpoint, "AWS Notification - Subscription Confirmation",
      ("You have chosen to subscribe to the topic:\n%s\n\nConfirm: %s/?Action=ConfirmSubscription&TopicArn=%s&Token=%s")
        :format(t.arn, cloud.url, t.arn, s.token))
  end
  return { SubscriptionArn = s.confirmed and s.arn or p.ReturnSubscriptionArn and s.arn or "pending confirmation" }
end

function S.ConfirmSubscription(cloud, p, ctx)
  for _, s in ipairs(get(cloud, ctx, p.TopicArn).subscriptions) do
    if s.token == p.Token then s.confirmed = true return { SubscriptionArn = s.arn } end
  end
  wire.fail("InvalidParameter", 400, "Invalid token")
end

local function shown(cloud, t, s)
  return { SubscriptionArn = s.confirmed and s.arn or "PendingConfirmation", Owner = cloud.account, Protocol = s.protocol,
           Endpoint = s.endpoint, TopicArn = t.arn }
end

function S.ListSubscriptionsByTopic(cloud, p, ctx)
  local t, list = get(cloud, ctx, p.TopicArn), {}
  for _, s in ipairs(t.subscriptions) do list[#list + 1] = shown(cloud, t, s) end
  local page, token = cloud.page(list, p.NextToken)
  return { Subscriptions = page, NextToken = token }
end

function S.ListSubscriptions(cloud, p, ctx)
  local list = {}
  for _, t in pairs(topics(cloud, ctx.region)) do
    for _, s in ipairs(t.subscriptions) do list[#list + 1] = shown(cloud, t, s) end
  end
  local page, token = cloud.page(list, p.NextToken)
  return { Subscriptions = page, NextToken = token }
end

function S.Unsubscribe(cloud, p, ctx)
  for _, t in pairs(topics(cloud, ctx.region)) do
    for i, s in ipairs(t.subscriptions) do if s.arn == p.SubscriptionArn then table.remove(t.subscriptions, i) return end end
  end
end

function S.Publish(cloud, p, ctx)
  local t = get(cloud, ctx, p.TopicArn)
  for _, s in ipairs(t.subscriptions) do
    if s.confirmed and s.protocol == "email" then mail(cloud, s.endpoint, p.Subject or "AWS Notification Message", p.Message) end
  end
  return { MessageId = sign.uuid() }
end

function S.ListTagsForResource(cloud, p, ctx) return { Tags = get(cloud, ctx, p.ResourceArn).tags } end

function S.TagResource(cloud, p, ctx)
  local t = get(cloud, ctx, p.ResourceArn)
  for _, tag in ipairs(p.Tags) do
    for i = #t.tags, 1, -1 do if t.tags[i].Key == tag.Key then table.remove(t.tags, i) end end
    table.insert(t.tags, tag)
  end
end

function S.UntagResource(cloud, p, ctx)
  local t = get(cloud, ctx, p.ResourceArn)
  for _, key in ipairs(p.TagKeys) do
    for i = #t.tags, 1, -1 do if t.tags[i].Key == key then table.remove(t.tags, i) end end
  end
end

--- An alarm's message to a topic; a topic that is gone is no error, as in AWS.
function S._publish(cloud, region, arn, subject, message)
  if topics(cloud, region)[arn] then
    S.Publish(cloud, { TopicArn = arn, Subject = subject, Message = json.encode(message, { pretty = true }) }, { region = region })
  end
end

return S
