--- Moves one Heroku app, with its PostgreSQL and its Redis, to AWS: Elastic Beanstalk, RDS, ElastiCache.
---
--- It may be stopped and run again at any time. Nothing on Heroku is changed before the stage "cutover" (but for a marker in
--- the database where DMS streams), and there only frozen: the app, its database and its Redis stay as they are, to go back
--- to with `hkrun rollback` (docs/cutover.md is the runbook). See the stages in heroku_to_aws/.
local recipe, task = require "recipe", require "task"
local aws, heroku = require "aws", require "heroku"
local audit, back, checks = require "heroku_to_aws.audit", require "heroku_to_aws.back", require "heroku_to_aws.checks"
local bastion, config = require "heroku_to_aws.bastion", require "heroku_to_aws.config"
local cost_report = require "heroku_to_aws.cost_report"
local cutover, deploy = require "heroku_to_aws.cutover", require "heroku_to_aws.deploy"
local dns, domain, drawing = require "heroku_to_aws.dns", require "heroku_to_aws.domain", require "heroku_to_aws.drawing"
local dms, downtime = require "heroku_to_aws.dms", require "heroku_to_aws.downtime"
local exposure, mapping, report = require "heroku_to_aws.exposure", require "heroku_to_aws.mapping", require "heroku_to_aws.report"
local keyspace, pipeline, smoke = require "heroku_to_aws.keyspace", require "heroku_to_aws.pipeline", require "heroku_to_aws.smoke"
local scheduler, watch = require "heroku_to_aws.scheduler", require "heroku_to_aws.watch"
local stage, need, confirm = recipe.stage, recipe.need, recipe.confirm

local opt = recipe.options {
  { "app", "Heroku app to move", target = true },
  { "region", "AWS region to move it to", default = "us-east-1", target = true, use = function(v) aws.use { region = v } end },
  { "bastion_ssh_from", "who may reach the bastion: your own address, like 203.0.113.7/32", required = "activate_bastion",
    check = checks.ssh_range },
  { "environment_name", "name of everything that is made (default: the app's)", check = checks.name },

  "network",
  { "vpc_cidr", "address range of the new VPC", default = "10.40.0.0/16", check = checks.vpc },
  { "zones", "availability zones", default = 2, one_of = { 2, 3 } },
  { "activate_bastion", "make a bastion, the way to the private stores", default = true },
  { "bastion_user", "who to log in there as", default = "ec2-user" },

  "sizes and cost",
  { "sizing", "sizes of the plan's names, or of what was measured: docs/mapping.md", default = "plan", one_of = { "plan", "measured" } },
  { "live_prices", "ask AWS for its prices, instead of the table's in recipes/heroku_to_aws/prices.lua", default = false },

  "database",
  { "db_instance_class", "RDS class (default: the mapping's)" },
  { "postgres_version", "major version of PostgreSQL (default: Heroku's)" },
  { "data", "who copies PostgreSQL: hkrun itself, or AWS DMS", default = "copy", one_of = { "copy", "dms" } },
  { "dms_strategy", "DMS: all rows in the freeze, or rows and changes before it", default = "full-load",
    one_of = { "full-load", "full-load-and-cdc" } },
  { "jobs", "tables to copy side by side", default = 2 },

  "cache",
  { "cache_node_type", "ElastiCache node (default: the mapping's)" },
  { "live_redis", "copy Redis before the freeze, and follow it", default = "auto", one_of = { "auto", "yes", "no" } },

  "deployment",
  { "source", "folder with the app's source (default: the slug that runs on Heroku)", check = checks.folder },
  { "instance_type", "machine of the app (default: the mapping's)" },
  { "engine", "container engine that builds the app's image, or none: the app's machines do (default: the one that is there)",
    one_of = { "docker", "podman", "buildah", "none" } },
  { "image", "image of the app in a registry, for Fargate only, see docs/targets.md (default: it is built)" },
  { "beanstalk_platform_arn", "platform of the app (default: the newest Docker on Amazon Linux 2023)" },
  { "deployment_policy", "how a version replaces the one before (default: rolling with several machines)",
    one_of = { "all-at-once", "rolling", "immutable" } },
  { "health_path", "path that answers 200 when the app is well", default = "/", check = checks.path },
  { "health_timeout", "seconds that the app may need to become well once it runs on AWS", default = 300 },
  { "scheduler_jobs", "YAML file with the jobs of Heroku Scheduler, which has no API, see docs/targets.md (default: none)", check = checks.file },

  "domain",
  { "domain", "custom domain names to move, or \"all\" of Heroku's: certificate, HTTPS, DNS (default: none)", type = "list" },
  { "dns_server", "DNS server to ask (default: the system's and the names' own)" },

  "cutover",
  { "downtime_budget", "how long nobody may be able to write, like 20m: then Heroku goes on (default: no limit)", check = checks.duration },
  { "one_off_dynos", "what to do with `heroku run` and Scheduler dynos at the freeze", default = "wait", one_of = { "wait", "stop" } },
  { "overwrite", "drop what the new stores hold, also if it is nowhere else", default = false },

  "monitoring",
  { "notification_email", "who gets the alarms (default: nobody)", check = checks.email },
  { "create_alarm", "make CloudWatch alarms", default = true },
  { "log_days", "days to keep logs", default = 30 },
  { "queue_ages", "measure every minute how long BullMQ's and Sidekiq's oldest jobs wait, by a job on the app's machines", default = false },

  "pipeline",
  { "github", "GitHub repository that deploys from now on: OWNER/REPOSITORY, see docs/deploy.md (default: none)", check = pipeline.repository },
  { "github_branch", "its branch whose pushes are deployed", default = "main", check = pipeline.branch },
  { "workflows", "folder for its workflows (default: .github/workflows of the source folder, else below .hkrun)" },
}

--- What must be right on AWS before it goes live there: add what your app is for.
local function tests(web)
  web:expect(opt.health_path)                    -- web:expect("/products", { status = 200, text = "Teapot" })
end

stage "audit"                                    -- only reads: `hkrun plan` does it too
local account = aws.sts:get_caller_identity().Account
local app     = heroku.app(opt.app)
local facts   = audit.read(app, opt)
local plan    = mapping.plan(facts, opt)         -- change what you like: plan.postgres.class = "db.m7g.large"
domain.plan(plan, facts, opt)                    -- names of its own need a load balancer, which has the certificate
local jobs    = scheduler.read(opt.scheduler_jobs, plan, opt, facts)
audit.report(facts, plan, opt, deploy.place)
local costs   = cost_report.write(facts, plan, opt, deploy.is_fargate)
drawing.write { facts = facts, plan = plan, jobs = jobs, opt = opt, deploy = deploy }

stage "network"
local net   = aws.network { plan.name, cidr = opt.vpc_cidr, zones = opt.zones }
local group = aws.security_group { plan.name .. "-app", vpc = net.id, description = "the machines of the app" }

stage "bastion"                                  -- its door; the machine is made beside the stores, which let it in
local door = bastion.door(plan, net, opt)

stage "stores"                                   -- slow to create, so side by side; reached from the app and the bastion only
local allow = { group.id, door and door.id }
local new = task.all {
  db = plan.postgres and function()
    return aws.postgres { plan.name, network = net, allow = allow, version = plan.postgres_version, class = plan.postgres.class,
                          gigabytes = plan.postgres.gigabytes, multi_az = plan.postgres.multi_az }
  end,
  cache = plan.cache and function()
    return aws.cache { plan.name, network = net, allow = allow, node_type = plan.cache.node_type, replicas = plan.cache.replicas }
  end,
  bastion = door and function() return bastion.machine(plan, net, door, opt) end,
  code    = function() return deploy.code(app, plan, account, opt) end,
  certificate = #plan.domains > 0 and function() return domain.certificate(plan.domains, opt) end or nil,
}
if not door then bastion.off(plan, net) end

stage "config"                                   -- secrets in one secret, of which the environment takes each by its key
local vars = config.keep(app, plan, new)

stage "deploy"                                   -- the environment starts with Beanstalk's sample application, and takes minutes
local made = task.all {
  environments = function()
    return deploy.environments(plan, { application = new.code.application, network = net, group = group, opt = opt, vars = vars,
                                       certificate = new.certificate })
  end,
  watch = opt.create_alarm and function() return watch.stores(plan, new, opt) end or nil,
}
local environments = made.environments
local web = environments[plan.environments[1].name]
local schedules = scheduler.make(jobs, { plan = plan, starts = function() return deploy.jobs(environments, plan, jobs, opt) end })  -- off as yet

stage "domain"                                   -- HTTPS answers for each name at the new address, and the DNS can change quickly
local names = domain.prepare(plan.domains, web, opt)
local url, how = domain.site(web, plan)

stage "alarms"                                   -- those of the stores are made by now
if made.watch then watch.app(plan, { watch = made.watch, new = new, environments = environments, facts = facts, opt = opt }) end

need(not deploy.is_forgotten(environments, new.code), "%s runs on AWS already, and the journal of its cutover is not here: "
  .. "bring it back; another cutover would copy old data over what was written on AWS", app.name)

stage "data"                                     -- with DMS only: prepared and assessed, and what can be carried before the freeze is
local carried <close> = dms.prepare { app = app, facts = facts, plan = plan, new = new, bastion = new.bastion, network = net, group = group,
                                      account = account, opt = opt, has_run = function() return deploy.has_run(environments, new.code) end }

stage "cutover"
local both = { app = app, facts = facts, new = new, bastion = new.bastion, opt = opt, dms = carried,
               has_run = function() return deploy.has_run(environments, new.code) end }
local steps  <close> = cutover.steps(both)
exposure.check { network = net, allow = allow, bastion = new.bastion, ssh_from = opt.bastion_ssh_from } -- what is private must be
local speeds    = steps.reach()
local budget    = downtime.parse(opt.downtime_budget)
local predicted = downtime.of(facts, speeds, keyspace.is_live(both))
downtime.check(predicted, budget)
confirm(("Stop %s on Heroku, copy its data, and go live on AWS?"):format(app.name),
        table.concat({ downtime.words(predicted, budget), steps.look() }, "; "))    -- what may be nowhere else is not dropped
local _      <close> = steps.follow_redis()              -- a large Redis is copied while the app goes on
local freeze <close> = cutover.freeze(both, budget)      -- nobody writes; Heroku goes on by itself if anything below fails
local window <close> = downtime.window(freeze, { predicted = predicted, budget = budget })  -- or takes too long
freeze:rollback("carry back to Heroku what was written on AWS", back.carry(both), back.look(both))
local copied = task.all {
  postgres = function() return freeze:once("copy postgres", steps.copy_postgres) end,
  redis    = function() return freeze:once("copy redis", function() return steps.copy_redis(freeze.facts.at) end) end,
}
local verified = freeze:once("verify", function() return steps.verify(copied) end)   -- every row, key and job is equal, or it stops here
local live  <close> = deploy.live(environments, new.code) -- stops again on AWS if the smoke test fails
local tested = freeze:once("smoke test", smoke.run(url, tests, opt.health_timeout, how))
local ticking <close> = scheduler.live(schedules)        -- jobs run on AWS from here
window:close()
freeze:keep()                                            -- from here on, customers write on AWS: back with `hkrun rollback`
live:keep()
ticking:keep()
if opt.data == "dms" then freeze:once(dms.CLEAN, dms.clean_up { app = app }) end   -- it costs money while it is there

stage "dns"                                      -- the names lead to AWS; `hkrun rollback` leads them back
dns.switch(names, web, opt)

stage "pipeline"                                 -- with --github: what is pushed there is deployed, without a key
pipeline.make { app = app, plan = plan, opt = opt, account = account, code = new.code, environments = environments }

stage "report"
report.write { app = app, facts = facts, plan = plan, new = new, url = url, quantities = app:quantities(),
               since = freeze.facts and freeze.facts.at, watch = made.watch, opt = opt, predicted = predicted, budget = budget, costs = costs,
               done = { copy = copied, verify = verified, smoke = tested } }
