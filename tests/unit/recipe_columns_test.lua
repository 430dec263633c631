--- Tables of reports as lines for a terminal of some width.
local columns = require "recipe.columns"
local test = require "test"
local width = require "host.width"
local T = test.cases()

local COST = {
  { "what", "how much", "a month", "note" },
  { "PostgreSQL, backups", "as much as the storage", "$0.00", "free up to the size of the storage; beyond that $0.095 a GB and month" },
  { "bastion, disk", "8 GB gp3", "$0.64" },
}

T["without a width, or where it fits, each row is a line"] = function()
  local wide = {
    "  what                 how much                a month  note",
    "  PostgreSQL, backups  as much as the storage  $0.00    " .. COST[2][4],
    "  bastion, disk        8 GB gp3                $0.64",
  }
  test.equal(columns.lines(COST), wide)
  test.equal(columns.lines(COST, #wide[2]), wide, "as wide as it is")
  test.equal(#columns.lines(COST, #wide[2] - 1), 4, "a column less")
end

T["in a narrow terminal, cells are broken between words, and columns stay columns"] = function()
  test.equal(columns.lines(COST, 70), {
    "  what                how much            a month  note",
    "  PostgreSQL,         as much as the      $0.00    free up to the",
    "  backups             storage                      size of the",
    "                                                   storage; beyond",
    "                                                   that $0.095 a GB",
    "                                                   and month",
    "  bastion, disk       8 GB gp3            $0.64",
  })
end

T["no line is too wide, and no word is lost, whatever the width"] = function()
  local rows = { { "group", ("x"):rep(70), "5432 of database shop" }, { "größe", "中文字", "a b c d e f g h" } }
  for n = 30, 120 do
    local lines = columns.lines(rows, n)
    for _, line in ipairs(lines) do
      local long = line:match "x+"
      test.truthy(width.of(line) <= n or long and width.of(line:sub(1, (line:find(long, 1, true)) - 1)) < n, n .. ": " .. line)
      test.truthy(not long or #long == 70, n .. ": a long word is whole: " .. line)
    end
    local said = table.concat(lines):gsub("%s+", "")
    test.equal(select(2, said:gsub("x", "")), 70, n)
    for _, word in ipairs { "group", "5432", "größe" } do test.truthy(said:find(word, 1, true), n .. ": " .. word) end
  end
end

T["what is longer than its cell stands over it, and the cells to its right begin below"] = function()
  local arn = "arn:aws:elasticbeanstalk:eu-west-1:123456789012:environment/shop/shop-web"
  test.equal(columns.lines({ { "one two three", arn, "is up and well" }, { "four", "5", "" } }, 60), {
    "  one two       " .. arn,
    "  three                                         is up and",
    "                                                well",
    "  four          5",
  })
  test.equal(columns.lines({ { "environment", arn } }, 60), { "  environment  " .. arn })
end

T["a terminal that is too narrow for columns gets each row as a paragraph"] = function()
  test.equal(columns.lines({ { "what", "how much", "a month" }, { "disk", "8 GB gp3", "$0.64" } }, 24), {
    "  what  how much  a", "    month", "  disk  8 GB gp3  $0.64",
  })
end

return T
