--- How the rows of a table are cut into pieces, and what of them is left to copy.
local pieces = require "pg.copy.pieces"
local test = require "test"

local T = test.cases()

local MB = 1024 * 1024

local function table_of(megabytes, more)
  local t = { name = "public.t", pages = megabytes * 128, bytes = megabytes * MB, file = 7, key = "id" }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

--- The conditions of what is left, one a line.
local function left(t, o, marks)
  local list, share = {}, 0
  for i, p in ipairs(pieces.of(t, o, marks or {})) do
    list[i] = pieces.condition(t, p.by, p.from, p.to) or "all"
    share = share + p.share
  end
  return table.concat(list, "\n"), share
end

local BLOCKS = { split = 4 * MB, split_bare = 2 * MB, part = 2 * MB, workers = 1, can_range = true }
local KEYS = { split = 4 * MB, split_bare = 2 * MB, part = 2 * MB, workers = 1, can_range = false }

T["a small table is one piece, and none when it is in"] = function()
  test.equal({ left(table_of(3), BLOCKS) }, { "all", 1 })
  test.equal(left(table_of(3), BLOCKS, { { name = "rows public.t" } }), "")
  test.equal(left(table_of(9, { masked = true }), BLOCKS), "all")
  test.equal(left(table_of(9, { key = false }), KEYS), "all")
end

T["a large table goes in ranges of blocks, which leave nothing out: the ends are open"] = function()
  test.equal({ left(table_of(6), BLOCKS) }, { "ctid < '(256,0)'::tid\nctid >= '(256,0)'::tid AND ctid < '(512,0)'::tid\nctid >= '(512,0)'::tid", 1 })
end

T["the parts are as many as all workers can do at the same time"] = function()
  local o = { split = 4 * MB, split_bare = 2 * MB, part = 2 * MB, workers = 2, can_range = true }
  test.equal(select(2, left(table_of(6), o):gsub("[^\n]+", "")), 4)
end

T["a table without anything to follow its rows is cut earlier"] = function()
  test.equal(left(table_of(3, { is_bare = true }), BLOCKS), "ctid < '(192,0)'::tid\nctid >= '(192,0)'::tid")
  test.equal(left(table_of(1, { is_bare = true }), BLOCKS), "all")
end

T["or in ranges of its key, where the server reads a range of blocks slowly"] = function()
  test.equal({ left(table_of(6, { first = -10, last = 289 }), KEYS) }, { "id < 90\nid >= 90 AND id < 190\nid >= 190", 1 })
  test.equal(left(table_of(4, { first = nil, last = nil }), KEYS), "all")
end

T["what is left are the gaps between what is there"] = function()
  local function mark(from, to) return { range_by = "ctid", range_from = from, range_to = to } end
  local t = table_of(6)
  test.equal(left(t, BLOCKS, { mark(nil, 256) }), "ctid >= '(256,0)'::tid AND ctid < '(512,0)'::tid\nctid >= '(512,0)'::tid")
  test.equal(left(t, BLOCKS, { mark(256, 512) }), "ctid < '(256,0)'::tid\nctid >= '(512,0)'::tid")
  test.equal(left(t, BLOCKS, { mark(512, nil) }), "ctid < '(256,0)'::tid\nctid >= '(256,0)'::tid AND ctid < '(512,0)'::tid")
  test.equal(left(t, BLOCKS, { mark(nil, 256), mark(256, 512), mark(512, nil) }), "")
  test.equal(left(t, { split = 1, part = 64 * MB, workers = 1, can_range = true }, { mark(nil, 100), mark(200, 300) }),
    "ctid >= '(100,0)'::tid AND ctid < '(200,0)'::tid\nctid >= '(300,0)'::tid")
  test.equal(left(table_of(1), BLOCKS, { mark(nil, 64) }), "ctid >= '(64,0)'::tid", "a table that has shrunk goes on as it began")
end

return T
