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
    for _, line in ipairs(lines) do test.truthy(width.of(line) <= n, n .. ": " .. line) end
    local said = table.concat(lines):gsub("%s+", "")
    test.equal(select(2, said:gsub("x", "")), 70, n)
    for _, word in ipairs { "group", "5432", "größe" } do test.truthy(said:find(word, 1, true), n .. ": " .. word) end
  end
end

T["a terminal that is too narrow for columns gets the rows as they are"] = function()
  test.equal(columns.lines(COST, 12), columns.lines(COST))
end

return T
