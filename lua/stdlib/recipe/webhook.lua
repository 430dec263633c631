--- Tells a URL of a run's milestones: POSTs of JSON, whose `text` is a sentence (so Slack and what understands its webhooks
--- show it). They are sent one after the other beside the run, which never waits for them but at its end, and never fails
--- because of them. The URL is a secret: whoever has it can write there.
local errors = require "errors"
local http = require "http"
local log = require "log"
local secret = require "secret"
local task = require "task"

local M = {}
local Hook = {}
Hook.__index = Hook

local TIMEOUT, TRIES, PAUSE = 5, 3, 0.5                      -- seconds for one try; tries; seconds between them, growing
local PATIENCE = 3                                           -- seconds that the end of a run waits for what was not sent yet

--- Which records are milestones, in a sentence.
local say = {
  run = function(r) return ("%s begins (run %d)"):format(r.command, r.n) end,
  stage = function(r) return "stage " .. r.name end,
  once = function(r) return r.state == "done" and "done: " .. r.name or nil end,
  guard = function(r)
    local state = ({ applied = "in force", kept = "kept", undone = "undone" })[r.state]
    return state and ("%s: %s"):format(r.what or r.key, state) or nil
  end,
  ["end"] = function(r, run)
    local ended = { done = "is done", stopped = "stopped where it was told to", cancelled = "was cancelled" }
    return ("%s %s"):format(run.command, ended[r.state] or "failed: " .. (r.error or "no reason is known"))
  end,
}

--- What goes out beside the sentence: nothing that a recipe made or found.
local SENT = { "at", "ev", "command", "n", "name", "state", "key", "what", "guard", "error" }

--- Refuses what would carry the milestones over a network in the clear.
local function check(url)
  local ok, parts = pcall(secret.parse_url, url)
  local host = ok and tostring(parts.host or "") or ""
  local near = host == "localhost" or host:find "^127%.%d+%.%d+%.%d+$" or host == "::1" or host == "[::1]"
  if not ok or host == "" or parts.scheme ~= "https" and parts.scheme ~= "http" then errors.usage "--webhook is no URL" end
  if parts.scheme == "http" and not near then errors.usage "--webhook must be https; http is only for this machine itself" end
end

--- Why it was not taken, without a word of the URL.
local function try(self, body)
  local ok, answer = pcall(http.post, self.url, { json = body, timeout = TIMEOUT, connect_timeout = TIMEOUT, fresh = true })
  if ok and answer:ok() then return nil end
  if not ok and errors.is(answer, "cancelled") then error(answer, 0) end
  if ok then return ("it answered %d"):format(answer.status), answer.status == 429 or answer.status >= 500 end
  local why = { timeout = "it did not answer in time", tls = "its certificate is not trusted", network = "it cannot be reached" }
  return why[errors.kind(answer)] or "it cannot be told", true
end

local function deliver(self, body)
  for attempt = 1, TRIES do
    local why, again = try(self, body)
    if not why then return end
    if not again or attempt == TRIES or self.told then
      if not self.told then log.warn("the webhook is not told of this run: %s; the run goes on", why) end
      self.told = true
      return
    end
    task.sleep(PAUSE * attempt)
  end
end

local function work(self)
  while true do
    while self.queue[1] do deliver(self, table.remove(self.queue, 1)) end
    if self.closing then return end
    self.event.wait()
  end
end

---@param url string|Secret
---@return table hook
function M.new(url)
  url = secret.is(url) and url or secret.new(url)
  check(url)
  local self = setmetatable({ url = url, queue = {}, event = task.event() }, Hook)
  self.worker = task.spawn(work, self)
  return self
end

--- A record of the journal.
---@param rec table
function Hook:take(rec)
  if rec.ev == "run" then self.run = rec end
  local run, body = self.run, {}
  local sentence = run and say[rec.ev] and say[rec.ev](rec, run)
  if not sentence then return end                            -- where nothing was to be done, no run began
  for _, name in ipairs(SENT) do body[name] = rec[name] end
  body.recipe, body.target = run.recipe, run.target ~= "" and run.target or nil
  body.text = ("%s%s: %s"):format(run.recipe, body.target and " (" .. body.target .. ")" or "", sentence)
  self.queue[#self.queue + 1] = body
  self.event.set()
end

--- Waits for what is under way, not for long.
function Hook:finish()
  self.closing = true
  self.event.set()
  task.shield(function()
    pcall(task.within, PATIENCE, "tell the webhook", function() self.worker:join() end)
    self.worker:cancel()
    pcall(self.worker.join, self.worker)
  end)
end

return M
