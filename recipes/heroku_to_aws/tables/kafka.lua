--- Apache Kafka on Heroku: none of it is moved by this recipe. What stands here is what to look at instead, and what a plan holds,
--- where Heroku says so (gigabytes).
local SHARED = "Amazon MSK Serverless, or the smallest cluster of Amazon MSK"
local CLUSTER = "Amazon MSK, a cluster of three brokers"
local CLOSED = "Amazon MSK in private subnets, with TLS and IAM or SCRAM for its clients"

return {
  ["basic-0"]            = { instead = SHARED, gigabytes = 4, source = "kafka-basic" },
  ["basic-1"]            = { instead = SHARED, gigabytes = 32, source = "kafka-basic" },
  ["basic-2"]            = { instead = SHARED, gigabytes = 64, source = "kafka-basic" },
  ["standard-0"]         = { instead = CLUSTER, source = "kafka" },
  ["standard-1"]         = { instead = CLUSTER, source = "kafka" },
  ["standard-2"]         = { instead = CLUSTER, source = "kafka" },
  ["extended-0"]         = { instead = CLUSTER, source = "kafka" },
  ["extended-1"]         = { instead = CLUSTER, source = "kafka" },
  ["extended-2"]         = { instead = CLUSTER, source = "kafka" },
  ["private-standard-0"] = { instead = CLOSED, source = "kafka" },
  ["private-standard-1"] = { instead = CLOSED, source = "kafka" },
  ["private-standard-2"] = { instead = CLOSED, source = "kafka" },
  ["private-extended-0"] = { instead = CLOSED, source = "kafka" },
  ["private-extended-1"] = { instead = CLOSED, source = "kafka" },
  ["private-extended-2"] = { instead = CLOSED, source = "kafka" },
  ["shield-standard-0"]  = { instead = CLOSED, source = "kafka" },
  ["shield-standard-1"]  = { instead = CLOSED, source = "kafka" },
  ["shield-standard-2"]  = { instead = CLOSED, source = "kafka" },
  ["shield-extended-0"]  = { instead = CLOSED, source = "kafka" },
  ["shield-extended-1"]  = { instead = CLOSED, source = "kafka" },
  ["shield-extended-2"]  = { instead = CLOSED, source = "kafka" },
}
