--- Add-ons by the name of their service. `becomes` = "moved": this recipe makes its successor; "carried": the vendor's service
--- goes on working with the same config vars for as long as the add-on lives; "deferred": somebody must see to it. `loud`: the
--- plan warns of it. A vendor's page is elements.heroku.com/addons/NAME.
local ACCOUNT = "open an account of your own with the vendor before the add-on is removed"
local LOGS = "Amazon CloudWatch Logs; the old lines stay with the vendor"
local STORE = "its data stays with the vendor, over the internet: "
local JOBS = "Heroku Scheduler has no API: its jobs are only on its dashboard. Write them into a file and give --scheduler-jobs FILE, "
  .. "and they become schedules of Amazon EventBridge Scheduler (docs/targets.md)"
local CONNECT = "it writes to Heroku Postgres only: see Amazon AppFlow for Salesforce"
local MODELS = "its models answer with keys of Heroku's: see Amazon Bedrock"
local APPLINK = "it ties the Heroku app to Salesforce: see Amazon AppFlow, or Salesforce's own API"
local ANEW = "make its jobs anew, in Amazon EventBridge Scheduler"
local STARTS = "its jobs start Heroku dynos: make them anew, in Amazon EventBridge Scheduler"
local CLOCK = "it scales Heroku dynos by the clock: see scheduled scaling of Amazon EC2 Auto Scaling"
local SCALES = "it scales Heroku dynos: see the scaling policies of Amazon EC2 Auto Scaling"
local MAIL = "mail: open an account of your own, or Amazon SES, before the add-on is removed"
local METRICS = "it reads the logs of Heroku dynos: CloudWatch metrics and the dashboard that this recipe makes take its place"
local MEMCACHED = "a cache far away is slow: consider ElastiCache for Memcached"
local SEARCH = "consider Amazon OpenSearch Service"
local BUCKET = "its bucket ends with the add-on: copy it to an S3 bucket of your own (aws s3 sync), and change its config vars"
local CDN = "Amazon CloudFront in front of the new address takes its place"
local ADDRESS = "its addresses stay the same; machines on AWS can have fixed addresses of their own (NAT gateway)"
local DNS = "change its records by hand, or move the zone to Amazon Route 53 before"
local TLS = "certificates come from AWS Certificate Manager: give --domain"
local KAFKA = "Kafka is not moved by this recipe: see Amazon MSK"

return {
  ["heroku-postgresql"]  = { becomes = "moved", note = "Amazon RDS for PostgreSQL", source = "pg-plans" },
  ["heroku-redis"]       = { becomes = "moved", note = "Amazon ElastiCache (Valkey)", source = "kvs-technical" },
  ["heroku-kafka"]       = { becomes = "deferred", loud = true, note = KAFKA, source = "kafka" },
  ["heroku-connect"]     = { becomes = "deferred", loud = true, note = CONNECT, source = "connect" },
  ["heroku-inference"]   = { becomes = "deferred", loud = true, note = MODELS, source = "elements" },
  ["heroku-applink"]     = { becomes = "deferred", loud = true, note = APPLINK, source = "elements" },
  -- jobs
  ["scheduler"]          = { becomes = "deferred", loud = true, note = JOBS, source = "scheduler" },
  ["advanced-scheduler"] = { becomes = "deferred", loud = true, note = ANEW, source = "elements" },
  ["cron-to-go"]         = { becomes = "deferred", loud = true, note = STARTS, source = "elements" },
  ["crontogo"]           = { becomes = "deferred", loud = true, note = STARTS, source = "elements" },
  ["process-scheduler"]  = { becomes = "deferred", loud = true, note = CLOCK, source = "elements" },
  ["hirefire"]           = { becomes = "deferred", note = SCALES, source = "elements" },
  ["rails-autoscale"]    = { becomes = "deferred", note = SCALES, source = "elements" },
  ["judoscale"]          = { becomes = "deferred", note = SCALES, source = "elements" },
  -- logs
  ["papertrail"]         = { becomes = "moved", note = LOGS, source = "elements" },
  ["logentries"]         = { becomes = "moved", note = LOGS, source = "elements" },
  ["coralogix"]          = { becomes = "moved", note = LOGS, source = "elements" },
  ["logdna"]             = { becomes = "moved", note = LOGS, source = "elements" },
  ["mezmo"]              = { becomes = "moved", note = LOGS, source = "elements" },
  ["logtail"]            = { becomes = "moved", note = LOGS, source = "elements" },
  ["sumologic"]          = { becomes = "moved", note = LOGS, source = "elements" },
  -- mail and messages
  ["sendgrid"]           = { becomes = "carried", note = MAIL, source = "elements" },
  ["mailgun"]            = { becomes = "carried", note = MAIL, source = "elements" },
  ["postmark"]           = { becomes = "carried", note = "mail: open an account of your own before the add-on is removed", source = "elements" },
  ["sparkpost"]          = { becomes = "carried", note = MAIL, source = "elements" },
  ["mailtrap"]           = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["cloudmailin"]        = { becomes = "carried", note = "point what comes in to the new address of the app; " .. ACCOUNT, source = "elements" },
  ["pusher"]             = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["ably"]               = { becomes = "carried", note = ACCOUNT, source = "elements" },
  -- what watches the app
  ["newrelic"]           = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["scout"]              = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["appsignal"]          = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["skylight"]           = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["sentry"]             = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["rollbar"]            = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["bugsnag"]            = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["honeybadger"]        = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["airbrake"]           = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["raygun"]             = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["librato"]            = { becomes = "deferred", note = METRICS, source = "elements" },
  ["deadmanssnitch"]     = { becomes = "carried", note = ACCOUNT, source = "elements" },
  -- stores of others
  ["memcachier"]         = { becomes = "carried", note = MEMCACHED, source = "elements" },
  ["memcachedcloud"]     = { becomes = "carried", note = MEMCACHED, source = "elements" },
  ["rediscloud"]         = { becomes = "carried", note = STORE .. "hkrun redis copy brings it to ElastiCache", source = "elements" },
  ["openredis"]          = { becomes = "carried", note = STORE .. "hkrun redis copy brings it to ElastiCache", source = "elements" },
  ["bonsai"]             = { becomes = "carried", note = SEARCH, source = "elements" },
  ["searchbox"]          = { becomes = "carried", note = SEARCH, source = "elements" },
  ["foundelasticsearch"] = { becomes = "carried", note = SEARCH, source = "elements" },
  ["algoliasearch"]      = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["cloudamqp"]          = { becomes = "carried", note = "consider Amazon MQ; messages in it are not moved", source = "elements" },
  ["jawsdb"]             = { becomes = "carried", note = STORE .. "consider Amazon RDS for MySQL", source = "elements" },
  ["jawsdb-maria"]       = { becomes = "carried", note = STORE .. "consider Amazon RDS for MariaDB", source = "elements" },
  ["cleardb"]            = { becomes = "carried", note = STORE .. "consider Amazon RDS for MySQL", source = "elements" },
  ["mongolab"]           = { becomes = "carried", note = STORE .. "consider MongoDB Atlas on AWS, or Amazon DocumentDB", source = "elements" },
  ["ormongo"]            = { becomes = "carried", note = STORE .. "consider MongoDB Atlas on AWS, or Amazon DocumentDB", source = "elements" },
  ["graphenedb"]         = { becomes = "carried", note = STORE .. "consider Neo4j Aura, or Amazon Neptune", source = "elements" },
  ["timescale"]          = { becomes = "carried", note = STORE .. "RDS has no TimescaleDB", source = "elements" },
  -- files, pictures, addresses
  ["bucketeer"]          = { becomes = "deferred", loud = true, note = BUCKET, source = "elements" },
  ["cloudcube"]          = { becomes = "deferred", loud = true, note = BUCKET, source = "elements" },
  ["cloudinary"]         = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["imgix"]              = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["fastly"]             = { becomes = "carried", note = "point its origin to the new address of the app; " .. ACCOUNT, source = "elements" },
  ["edge"]               = { becomes = "deferred", note = CDN, source = "elements" },
  ["expeditedcdn"]       = { becomes = "deferred", note = CDN, source = "elements" },
  ["fixie"]              = { becomes = "carried", note = ADDRESS, source = "elements" },
  ["quotaguard"]         = { becomes = "carried", note = ADDRESS, source = "elements" },
  ["quotaguardstatic"]   = { becomes = "carried", note = ADDRESS, source = "elements" },
  ["ssl"]                = { becomes = "deferred", note = TLS, source = "elements" },
  ["pointdns"]           = { becomes = "carried", note = DNS, source = "elements" },
  -- people and switches
  ["auth0"]              = { becomes = "carried", note = "add the new address to its allowed callbacks; " .. ACCOUNT, source = "elements" },
  ["configcat"]          = { becomes = "carried", note = ACCOUNT, source = "elements" },
  ["launchdarkly"]       = { becomes = "carried", note = ACCOUNT, source = "elements" },
}
