--- Smoke tests: what the recipe says must be right at the new address before AWS goes live.
---
---     local function smoke(web)
---       web:expect("/health", { status = 200 })
---       web:expect("/products", { text = "teapot" })
---     end
---
--- A function of your own may do more: web:get(path) answers as http.get does, and any error it raises is a failed test.
local errors = require "errors"
local http = require "http"
local task = require "task"

local M = {}

--- Seconds for which a wrong answer may become right: it may be of the version before.
M.SETTLE = 20

local Web = {}
Web.__index = Web

local function failed(self, path, retry, fmt, ...)
  errors.raise { kind = "remote", op = "test " .. self.url .. path, retry = true, late = retry, message = fmt:format(...),
    hint = "the environment's logs say more" }
end

--- Asks for a path.
---@param path string
---@param opts? table as http.get takes it
---@return HttpAnswer
function Web:get(path, opts)
  local o = { timeout = 30 }
  for k, v in pairs(self.how or {}) do o[k] = v end
  for k, v in pairs(opts or {}) do o[k] = v end
  local ok, answer = pcall(http.get, self.url .. path, o)
  if ok then return answer end
  if errors.is(answer, "cancelled") then error(answer, 0) end
  return failed(self, path, true, "%s", tostring(answer))
end

--- Asks for a path, and raises unless it answers as wanted.
---@param path string
---@param wanted? { status: integer?, text: string? } status: any 2xx by default; text: what must be in the body
---@return HttpAnswer
function Web:expect(path, wanted)
  wanted = wanted or {}
  local answer = self:get(path)
  if answer.status ~= wanted.status and (wanted.status or not answer:ok()) then
    failed(self, path, answer.status >= 500, "it answers with status %d%s", answer.status, wanted.status and ", and not " .. wanted.status or "")
  end
  if wanted.text and not answer.body:find(wanted.text, 1, true) then failed(self, path, false, "%q is not in its answer", wanted.text) end
  self.passed = self.passed + 1
  return answer
end

--- Runs the tests until they pass: with patience while the app does not answer, for some seconds where it does so wrongly.
---@param url string? nil: there is no web process
---@param fn fun(web: table)
---@param patience number seconds that the app may take until it answers
---@param how? table options of http.get for each request
---@return fun(progress: table): table for freeze:once
function M.run(url, fn, patience, how)
  return function(progress)
    if not url then return { skipped = true, at = os.time() } end
    local began, wrong = task.now(), nil
    while true do
      local web = setmetatable({ url = url:gsub("/$", ""), how = how, passed = 0 }, Web)
      local ok, e = xpcall(fn, errors.handler, web)
      if ok then return { url = url, passed = web.passed, at = os.time() } end
      if not errors.is(e, "remote") then error(e, 0) end
      local late = e.late
      wrong = not late and (wrong or task.now()) or nil
      if task.now() > (wrong and wrong + M.SETTLE or began + patience) then error(e, 0) end
      progress:note(e.message)
      task.sleep(1)
    end
  end
end

return M
