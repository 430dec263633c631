--- Stage "cutover": what must be private is, or the recipe stops.
local aws = require "aws"
local recipe = require "recipe"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

package.path = "recipes/?.lua;" .. package.path
local exposure = require "heroku_to_aws.exposure"

local function opening(kind, id, port, what, from, more)
  local o = { kind = kind, id = id, thing = id, port = port, to_port = port, protocol = "tcp", what = what, from = from,
              text = ("%d of %s %s from %s"):format(port, kind, id, from) }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local GOOD = {
  opening("cache", "shop-001", 6379, "group", "app", { group = "sg-app" }),
  opening("database", "shop", 5432, "group", "app", { group = "sg-app" }),
  opening("database", "shop", 5432, "group", "door", { group = "sg-door" }),
  opening("instance", "i-app", 80, "internet", "0.0.0.0/0"),
  opening("instance", "i-door", 22, "internet", "203.0.113.0/24"),
}
local ASKED = { allow = { "sg-app", { id = "sg-door" } }, bastion = "i-door", ssh_from = "203.0.113.0/24" }

local function with(...)
  local list = table.move(GOOD, 1, #GOOD, 1, {})
  return table.move({ ... }, 1, select("#", ...), #list + 1, list)
end

local function texts(openings)
  local list = {}
  for i, o in ipairs(exposure.faults(openings, ASKED)) do list[i] = o.text end
  return list
end

T["what the recipe makes has no fault"] = function() test.equal(texts(GOOD), {}) end

T["a store that the internet, the VPC, another network or another group reaches is a fault; so is a wider ssh port"] = function()
  test.equal(texts(with(
    opening("database", "shop", 5432, "internet", "0.0.0.0/0"), opening("cache", "shop-001", 6379, "vpc", "10.40.0.0/16"),
    opening("database", "shop", 5432, "network", "10.60.0.0/16"), opening("cache", "shop-001", 6379, "group", "other", { group = "sg-other" }),
    opening("instance", "i-door", 22, "internet", "::/0"), opening("instance", "i-door", 22, "internet", "203.0.113.0/23"),
    opening("instance", "i-app", 443, "internet", "0.0.0.0/0"))), {
    "5432 of database shop from 0.0.0.0/0", "6379 of cache shop-001 from 10.40.0.0/16", "5432 of database shop from 10.60.0.0/16",
    "6379 of cache shop-001 from other", "22 of instance i-door from ::/0", "22 of instance i-door from 203.0.113.0/23" })
end

T["the report has the internet first, and each port once"] = function()
  test.equal(exposure.rows(with(opening("database", "shop", 5432, "network", "10.60.0.0/16", { via = "pcx-1" }))), {
    { "who", "from", "reaches" },
    { "internet", "0.0.0.0/0", "80 of instance i-app" },
    { "internet", "203.0.113.0/24", "22 of instance i-door" },
    { "pcx-1", "10.60.0.0/16", "5432 of database shop" },
    { "group", "app", "6379 of cache shop-001" },
    { "group", "app, door", "5432 of database shop" } })
end

T["an exposed store stops the recipe, which says what to take out"] = function()
  local seen, went_on
  rawset(aws, "reach", function(o)
    seen = o.vpc
    return seen == "vpc-bad" and with(opening("database", "shop", 5432, "internet", "0.0.0.0/0")) or GOOD
  end)
  test.defer(function() rawset(aws, "reach", nil) end)
  local function run(vpc)
    recipe_lab():apply(function()
      exposure.check { network = { id = vpc }, allow = ASKED.allow, bastion = { id = "i-door" }, ssh_from = ASKED.ssh_from }
      recipe.once("go live", function() went_on = vpc return {} end)
    end)
  end
  run "vpc-good"
  test.equal({ seen, went_on }, { "vpc-good", "vpc-good" })
  test.raises("must be private is not: 5432 of database shop from 0%.0%.0%.0/0%. Take that rule out", run, "vpc-bad")
  test.equal(went_on, "vpc-good")
end

return T
