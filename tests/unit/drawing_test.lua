--- The drawings of heroku_to_aws: what stands in them, for apps and options of several kinds.
package.path = "recipes/?.lua;" .. package.path
local check = require "recipe.report.drawing".check
local drawing = require "heroku_to_aws.drawing"
local test = require "test"
local words = require "recipe.report.drawing".words
local T = test.cases()

local function facts(more)
  local f = { app = { name = "shop", region = "us", stack = "heroku-24" }, addons = {}, domains = {},
    formation = { { type = "clock", size = "Basic", quantity = 0 }, { type = "web", size = "Standard-1X", quantity = 2 } },
    postgres = { version = "16", plan = "heroku-postgresql:standard-0", tables = 3, bytes = 5e6 } }
  for k, v in pairs(more or {}) do f[k] = v end
  return f
end

local function plan(more)
  local p = { name = "shop", domains = {}, postgres_version = "16", postgres = { class = "db.m7g.large", gigabytes = 64, multi_az = true },
    environments = { { name = "shop", load_balanced = true, instances = 2, processes = { { type = "web", replicas = 1 } } } } }
  for k, v in pairs(more or {}) do p[k] = v end
  return p
end

local function after(p, more, deploy)
  local opt = { region = "eu-west-1", vpc_cidr = "10.1.0.0/16", zones = 3, activate_bastion = false, create_alarm = true }
  for k, v in pairs(more or {}) do opt[k] = v end
  return check(drawing.after { facts = facts(), plan = p, jobs = {}, opt = opt,
    deploy = deploy or { place = function(e) return e.name .. ": 2 x t3.small" end } })
end

--- All that a drawing says, a line for each box and arrow.
local function said(d)
  local lines, boxes, arrows = {}, words(d)
  local function add(list)
    for _, b in ipairs(list) do
      lines[#lines + 1] = b.text
      add(b.inside or {})
    end
  end
  add(boxes)
  return table.concat(lines, "\n"), table.concat(arrows, "\n")
end

T["before: dynos that run, stores, and of many add-ons the first ones; names of its own at the router"] = function()
  local addons = {}
  for i = 1, 6 do addons[i] = { name = "a" .. i, plan = "mail:plan-" .. i } end
  addons[7] = { name = "pg", plan = "heroku-postgresql:standard-0", store = true }
  local boxes, arrows = said(check(drawing.before(facts { addons = addons, domains = {
    { kind = "heroku", hostname = "shop.herokuapp.com" }, { kind = "custom", hostname = "shop.example.com" } } })))
  test.equal(boxes, "Visitors\nHeroku: the app shop, region us, stack heroku-24\nRouter, shop.example.com\nweb, 2 x Standard-1X\n"
    .. "Heroku Postgres 16, standard-0, 3 tables, 5.0 MB\nmail:plan-1\nmail:plan-2\nmail:plan-3\n3 more add-ons")
  test.equal(arrows, "Visitors to Router: HTTPS\nRouter to web\nweb to Heroku Postgres 16")
end

T["after: a load balancer where there is one, with HTTPS for names of its own; the bastion only where it is made"] = function()
  local boxes, arrows = said(after(plan { domains = { "shop.example.com" } }))
  test.match(boxes, "^Visitors\nVPC shop, 10%.1%.0%.0/16, 3 availability zones\nPublic subnets\n"
    .. "Load balancer, shop%.example%.com\nweb, shop: 2 x t3%.small\nPrivate subnets, [^\n]*\n"
    .. "RDS for PostgreSQL 16, db%.m7g%.large, 64 GB, with a standby in another zone\nBeside it, in eu%-west%-1\n")
  test.match(boxes, "SNS, nobody is told yet$")
  test.equal(arrows, "Visitors to Load balancer: HTTPS\nLoad balancer to web\nweb to RDS for PostgreSQL 16")
  boxes, arrows = said(after(plan(), { activate_bastion = true, bastion_ssh_from = "203.0.113.7/32", create_alarm = false }))
  test.match(boxes, "You, from 203%.0%.113%.7/32\n")
  test.truthy(not boxes:find "SNS")
  test.match(arrows, "HTTP\n.*You to Bastion: SSH\nBastion to RDS")
end

T["after: processes of one machine share a box, tasks of Fargate have one each; without stores there is no private subnet"] = function()
  local both = { { name = "shop", instances = 1, processes = { { type = "web", replicas = 1 }, { type = "worker", replicas = 1 } } } }
  local p = plan { environments = both }
  p.postgres = nil
  local boxes, arrows = said(after(p))
  test.match(boxes, "\nweb, worker, shop: 2 x t3%.small\n")
  test.truthy(not boxes:find "Private" and not boxes:find "Load balancer")
  test.equal(arrows, "Visitors to web, worker: HTTP")
  boxes, arrows = said(after(p, nil, { is_fargate = true, place = function(_, process) return "Fargate: 1 task of " .. process.type end }))
  test.match(boxes, "\nLoad balancer, [^\n]*\nweb, Fargate: 1 task of web\nworker, Fargate: 1 task of worker\n.*\nECR and ECS\n")
  test.equal(arrows, "Visitors to Load balancer: HTTP\nLoad balancer to web")
end

return T
