--- Amazon SQS in the rehearsal: standard and FIFO queues with their attributes, tags and messages.
--- Source: Amazon SQS API Reference, 2012-11-05.
local json = require "json"
local sign = require "sign"

local S = {}

local DEFAULTS = {
  DelaySeconds = "0", MaximumMessageSize = "262144", MessageRetentionPeriod = "345600", ReceiveMessageWaitTimeSeconds = "0",
  VisibilityTimeout = "30", SqsManagedSseEnabled = "true",
}
local RANGES = { DelaySeconds = { 0, 900 }, MaximumMessageSize = { 1024, 1048576 }, MessageRetentionPeriod = { 60, 1209600 },
                 ReceiveMessageWaitTimeSeconds = { 0, 20 }, VisibilityTimeout = { 0, 43200 } }
local OTHERS = { Policy = true, RedrivePolicy = true, RedriveAllowPolicy = true, KmsMasterKeyId = true, KmsDataKeyReusePeriodSeconds = true,
                 SqsManagedSseEnabled = true, FifoQueue = true, ContentBasedDeduplication = true, DeduplicationScope = true,
                 FifoThroughputLimit = true }
local GONE = 60                         -- seconds for which a deleted queue's name cannot be used again

--- Errors have two names: the model's, and the one that they had before SQS spoke JSON.
local function fail(shape, code, fmt, ...)
  error({ aws = true, shape = shape, code = code, status = 400, message = fmt:format(...) }, 0)
end

local function store(cloud, ctx)
  local s = cloud:store("sqs", ctx.region)
  s.queues, s.deleted = s.queues or {}, s.deleted or {}
  return s
end

local function absent()
  fail("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
end

local function get(cloud, ctx, url) return store(cloud, ctx).queues[url:match "[^/]*$"] or absent() end

local function check(attributes, is_fifo)
  for name, value in pairs(attributes) do
    local range, n = RANGES[name], math.tointeger(tonumber(value))
    if not range and not OTHERS[name] or (name == "FifoQueue" and not is_fifo) then
      fail("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
    end
    if range and not (n and n >= range[1] and n <= range[2]) or (name == "RedrivePolicy" and value ~= "" and not json.decode(value)) then
      fail("InvalidAttributeValue", "InvalidAttributeValue", "Invalid value for the parameter %s.", name)
    end
  end
end

function S.CreateQueue(cloud, p, ctx)
  local s, name, attributes = store(cloud, ctx), p.QueueName, p.Attributes or {}
  local is_fifo = attributes.FifoQueue == "true"
  local plain = is_fifo and name:gsub("%.fifo$", "") or name
  if #name > 80 or not plain:find "^[%w_%-]+$" or is_fifo and plain == name then
    fail("InvalidParameterValue", "InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
  end
  check(attributes, is_fifo)
  local queue = s.queues[name]
  for attribute, value in pairs(queue and attributes or {}) do
    if queue.attributes[attribute] ~= value then
      fail("QueueNameExists", "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute %s", attribute)
    end
  end
  if not queue then
    if s.deleted[name] and cloud.clock:now() < s.deleted[name] + GONE then
      fail("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
    end
    queue = { name = name, url = ("%s/%s/%s"):format(cloud.url, cloud.account, name), attributes = {}, tags = p.tags or {}, messages = {},
              made = cloud.clock:now() }
    for attribute, value in pairs(DEFAULTS) do queue.attributes[attribute] = value end
    for attribute, value in pairs(attributes) do queue.attributes[attribute] = value end
    s.queues[name] = queue
  end
  return { QueueUrl = queue.url }
end

function S.GetQueueUrl(cloud, p, ctx)
  local queue = store(cloud, ctx).queues[p.QueueName] or absent()
  return { QueueUrl = queue.url }
end

function S.ListQueues(cloud, p, ctx)
  local urls = {}
  for name, queue in pairs(store(cloud, ctx).queues) do
    if name:sub(1, #(p.QueueNamePrefix or "")) == (p.QueueNamePrefix or "") then urls[#urls + 1] = queue.url end
  end
  table.sort(urls)
  local page, token = cloud.page(urls, p.NextToken, p.MaxResults or 1000)
  return { QueueUrls = page, NextToken = token }
end

local function hidden(queue, now)
  local n = 0
  for _, m in ipairs(queue.messages) do n = n + (m.visible > now and 1 or 0) end
  return n
end

function S.GetQueueAttributes(cloud, p, ctx)
  local queue, now = get(cloud, ctx, p.QueueUrl), cloud.clock:now()
  local all = {
    QueueArn = cloud:arn("sqs", ctx.region, queue.name), CreatedTimestamp = tostring(queue.made // 1 | 0),
    ApproximateNumberOfMessages = tostring(#queue.messages - hidden(queue, now)),
    ApproximateNumberOfMessagesNotVisible = tostring(hidden(queue, now)), ApproximateNumberOfMessagesDelayed = "0",
  }
  for name, value in pairs(queue.attributes) do if value ~= "" then all[name] = value end end
  local wanted = {}
  for _, name in ipairs(p.AttributeNames or {}) do
    if name == "All" then return { Attributes = all } end
    wanted[name] = all[name]
  end
  return { Attributes = wanted }
end

function S.SetQueueAttributes(cloud, p, ctx)
  local queue = get(cloud, ctx, p.QueueUrl)
  check(p.Attributes, false)
  for name, value in pairs(p.Attributes) do queue.attributes[name] = value end
end

function S.DeleteQueue(cloud, p, ctx)
  local queue, s = get(cloud, ctx, p.QueueUrl), store(cloud, ctx)
  s.queues[queue.name], s.deleted[queue.name] = nil, cloud.clock:now()
end

function S.ListQueueTags(cloud, p, ctx) return { Tags = get(cloud, ctx, p.QueueUrl).tags } end

function S.TagQueue(cloud, p, ctx)
  local tags = get(cloud, ctx, p.QueueUrl).tags
  for key, value in pairs(p.Tags) do tags[key] = value end
end

function S.UntagQueue(cloud, p, ctx)
  local tags = get(cloud, ctx, p.QueueUrl).tags
  for _, key in ipairs(p.TagKeys) do tags[key] = nil end
end

-- Messages -----------------------------------------------------------------

--- How long the oldest message of a queue has been waiting, in seconds; 0 for an empty one.
function S._oldest(cloud, region, url)
  local oldest, now = 0, cloud.clock:now()
  for _, m in ipairs(get(cloud, { region = region }, url).messages) do oldest = math.max(oldest, now - m.sent) end
  return oldest
end

function S.SendMessage(cloud, p, ctx)
  local queue, now = get(cloud, ctx, p.QueueUrl), cloud.clock:now()
  if queue.attributes.FifoQueue == "true" and not p.MessageGroupId then
    fail("MissingParameter", "MissingParameter", "The request must contain the parameter MessageGroupId.")
  end
  local m = { id = sign.uuid(), body = p.MessageBody, visible = now + (p.DelaySeconds or tonumber(queue.attributes.DelaySeconds)),
              sent = now, seen = 0, attributes = p.MessageAttributes }
  table.insert(queue.messages, m)
  return { MessageId = m.id, MD5OfMessageBody = sign.md5(m.body) }
end

function S.ReceiveMessage(cloud, p, ctx)
  local queue, list = get(cloud, ctx, p.QueueUrl), {}
  local now = cloud.clock:now()
  for _, m in ipairs(queue.messages) do
    if m.visible <= now and #list < (p.MaxNumberOfMessages or 1) then
      m.visible, m.seen = now + (p.VisibilityTimeout or tonumber(queue.attributes.VisibilityTimeout)), m.seen + 1
      m.receipt = sign.hex(sign.random(16))
      list[#list + 1] = { MessageId = m.id, ReceiptHandle = m.receipt, Body = m.body, MD5OfBody = sign.md5(m.body),
                          MessageAttributes = m.attributes,
                          Attributes = { ApproximateReceiveCount = tostring(m.seen) } }
    end
  end
  return { Messages = list[1] and list }
end

function S.DeleteMessage(cloud, p, ctx)
  local messages = get(cloud, ctx, p.QueueUrl).messages
  for i = #messages, 1, -1 do if messages[i].receipt == p.ReceiptHandle then table.remove(messages, i) end end
end

function S.PurgeQueue(cloud, p, ctx) get(cloud, ctx, p.QueueUrl).messages = {} end

return S
