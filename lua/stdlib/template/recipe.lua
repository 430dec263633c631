--- A topic that sends what is published to it to an e-mail address, and a first message. (Say here what your recipe does:
--- `hkrun @NAME@.lua --help` shows these lines.)
---
---     hkrun plan @NAME@.lua --email you@example.com      what it would do; changes nothing
---     hkrun @NAME@.lua --email you@example.com           does it; run again, it changes nothing
---     hkrun destroy @NAME@.lua                           takes away what it made
local recipe, aws = require "recipe", require "aws"

-- Options come from flags (--email), the environment (HKRUN_EMAIL), hkrun.yml, the last run, or their default.
local opt = recipe.options {
  { "email", "who gets the messages", required = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
}

-- A stage is a heading in the plan. `--until NAME` stops before it.
recipe.stage "topic"

-- A noun is a thing that is to exist. It is found by its name or its tags, made when it is missing, changed when it differs.
local topic = aws.topic { "@name@" }
aws.subscription { "@name@", topic = topic.arn, protocol = "email", endpoint = opt.email }

recipe.stage "greeting"

-- A verb with a record: it does not run again after it succeeded. Interrupted, it runs again.
recipe.once("send a first message", function()
  aws.sns:publish { TopicArn = topic.arn, Subject = "@name@", Message = "This topic works." }
end)

-- What is printed at the end.
recipe.report("@NAME@", { { "topic", topic.arn }, { "messages go to", opt.email } })
