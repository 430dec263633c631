--- The cost as tables: on Heroku today, on AWS, and what it would be otherwise.
local cost = require "heroku_to_aws.cost"
local live_prices = require "heroku_to_aws.live_prices"
local prices = require "heroku_to_aws.prices"
local recipe = require "recipe"

local M = {}

--- What a side costs, in words: "at least" where the price of a line is unknown.
---@param found CostSide
---@param months integer
---@return string
function M.total(found, months)
  local sum = cost.money(found.total * months)
  return #found.unknown > 0 and "at least " .. sum or sum
end

--- Rows for a report: the title, and the table of one side.
local function side_rows(found)
  local rows = { { "what", "how much", "a month", "note" } }
  for _, line in ipairs(found.lines) do rows[#rows + 1] = { line.what, line.how, cost.money(line.cents), line.note or "" } end
  rows[#rows + 1] = { "together", ("%s a year"):format(M.total(found, 12)), M.total(found, 1),
    #found.unknown > 0 and ("without what is unknown: %s"):format(table.concat(found.unknown, ", ")) or "" }
  return rows
end

--- Where the prices are from, in a sentence.
---@param found table of cost.of
---@return string
function M.origin(found)
  local first, last = prices.dates(found.region)
  local words = ("prices on demand%s (recipes/heroku_to_aws/prices.lua)"):format(first and (", of %s to %s"):format(first, last) or "")
  if found.live then
    words = found.live.failed and ("%s; AWS's own were not to be had: %s"):format(words, found.live.failed)
      or ("%d prices as AWS told them now; the others %s"):format(found.live.count, words)
  end
  if not found.known_region then words = ("the region %s is not in the table of prices; --live-prices asks AWS. "):format(found.region) .. words end
  return words
end

--- The tables of the cost on either side, and of what it would be otherwise, each with its title.
---@param facts table
---@param plan table
---@param o table options of cost.of
---@return { [1]: string, [2]: string[][] }[]
function M.tables(facts, plan, o)
  local found = cost.of(facts, plan, o)
  local rows = { { "what if", "a month", "a year", "to the plan" } }
  for i, v in ipairs(cost.variants(facts, plan, o)) do
    rows[i + 1] = { v.what, M.total(v, 1), M.total(v, 12),
      v.difference and (v.difference > 0 and "+" or "") .. cost.money(v.difference) or "not to compare: other lines are unknown" }
  end
  return { { "Cost on Heroku today", side_rows(found.today) },
           { ("Cost on AWS, %s: %s"):format(found.region, M.origin(found)), side_rows(found.aws) }, { "Cost, what if", rows } }
end

--- Reports the cost; with --live-prices AWS is asked first.
---@param facts table
---@param plan table
---@param opt table the recipe's options
---@param fargate boolean? whether the app goes to Fargate
---@return string words what it costs in a month, before and after
function M.write(facts, plan, opt, fargate)
  local o = { fargate = fargate }
  for name, v in pairs(opt) do o[name] = v end
  o.live = opt.live_prices and live_prices.ask(facts, plan, o) or nil
  for _, found in ipairs(M.tables(facts, plan, o)) do recipe.report(found[1], found[2], { head = true }) end
  local found = cost.of(facts, plan, o)
  return ("%s on Heroku, %s on AWS"):format(M.total(found.today, 1), M.total(found.aws, 1))
end

return M
