--- What test files use: cases, comparisons, cleaning up.
local errors = require "errors"
local fs = require "fs"

local M = {}

local deferred, deferred_file = {}, {}

--- A table of cases that keeps the order in which they are written.
function M.cases()
  local order = {}
  return setmetatable({}, {
    __index = { order = order },
    __newindex = function(_, name, fn) order[#order + 1] = { name = name, fn = fn } end,
  })
end

local function show(v, depth)
  if type(v) == "string" then return ("%q"):format(#v > 300 and v:sub(1, 300) .. "..." or v) end
  local meta = getmetatable(v)
  if type(v) ~= "table" or (type(meta) == "table" and meta.__tostring) then return tostring(v) end
  if (depth or 0) > 4 then return "{...}" end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  local parts = {}
  for _, k in ipairs(keys) do parts[#parts + 1] = tostring(k) .. "=" .. show(v[k], (depth or 0) + 1) end
  return "{" .. table.concat(parts, ", ") .. "}"
end
M.show = show

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

--- Fails unless both are equal; tables by their contents.
function M.equal(actual, expected, what)
  if same(actual, expected) then return end
  error(("%sexpected %s, got %s"):format(what and what .. ": " or "", show(expected), show(actual)), 2)
end

function M.truthy(v, what)
  if not v then error((what or "a true value") .. " was expected, got " .. show(v), 2) end
  return v
end

function M.match(s, pattern, what)
  if type(s) ~= "string" or not s:find(pattern) then
    error(("%sexpected something like %q, got %s"):format(what and what .. ": " or "", pattern, show(s)), 2)
  end
end

--- Fails unless fn raises an error that matches; returns the error.
function M.raises(pattern, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then error("expected an error like " .. pattern .. ", got none", 2) end
  if not tostring(e):find(pattern) then
    error(("expected an error like %q, got %q"):format(pattern, tostring(e)), 2)
  end
  return e
end

--- Runs fn when the case ends, last first.
function M.defer(fn) deferred[#deferred + 1] = fn end

--- Runs fn when the last case of the file has ended: for what its cases share.
function M.defer_file(fn) deferred_file[#deferred_file + 1] = fn end

--- A folder that is removed when the case ends.
function M.tmpdir()
  local dir = fs.tmpdir "hkrun-test-"
  M.defer(function() fs.rmtree(dir) end)
  return dir
end

--- The path of a foreign tool that `make check` installed (build/tools/bin),
--- or of the machine's own.
function M.tool(name)
  local own = "build/tools/bin/" .. name
  if fs.exists(own) then return fs.join(fs.cwd(), own) end      -- the link itself: a virtual environment is known by its path
  return require "process".which(name) or errors.raise {
    kind = "not_found", op = "find " .. name, message = "it is not installed", hint = "run `make tools`" }
end

local function run_all(list)
  local failure
  while #list > 0 do
    local fn = table.remove(list)
    local ok, e = pcall(fn)
    failure = failure or (not ok and e or nil)
  end
  local http = package.loaded.http
  if http then http.close_idle() end    -- kept connections are no leak
  return failure
end

--- Runs what was deferred; the first failure is returned, after all ran.
function M.cleanup() return run_all(deferred) end
function M.cleanup_file() return run_all(deferred_file) end

return M
