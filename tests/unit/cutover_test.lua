--- The steps of the cutover, without a cloud.
package.path = "recipes/?.lua;" .. package.path
local cutover = require "heroku_to_aws.cutover"
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local redis = require "redis"
local test = require "test"
local T = test.cases()

--- What is said where the new Redis is not reached.
local function refused(bastion)
  local l = lab()
  local _, e = pcall(l.apply, l, function()
    cutover.steps { facts = { redis = { queues = {} } }, new = { cache = { url = "rediss://10.0.0.9:6379" } }, bastion = bastion, opt = {} }.reach()
  end)
  return e
end

T["without the bastion it says that only its network reaches the new stores, and how to go on"] = function()
  local open = redis.open
  test.defer(function() redis.open = open end)
  redis.open = function() errors.raise { kind = "network", op = "connect", message = "no answer", hint = "is it up?" } end
  local hint = refused().hint
  test.match(hint, "without the bastion .*apply again with %-%-activate%-bastion and %-%-bastion%-ssh%-from.*; nothing was stopped")
  test.equal(refused({ open = function() return { close = function() end } end }).hint, "is it up?")
end

return T
