--- Read-only mode: `--read-only` on the command line, and how the REPL begins. While it is on, what could change
--- something is refused before anything is sent:
---
--- - AWS: every operation that `aws.mutating` does not know to be harmless
--- - Heroku: every call but GET and HEAD
--- - PostgreSQL: connections are opened with default_transaction_read_only, which the server then enforces
--- - Redis: every command that is not known to only read; copies of whole databases and caches
---
--- It does not reach what goes on elsewhere: commands over ssh, local programs and files, presigned URLs.
local errors = require "errors"

local M = {}

local on, way_out = false, nil

--- Switches it.
---@param wanted boolean
---@param hint? string how whoever is refused can allow it
function M.set(wanted, hint)
  on, way_out = wanted, hint
end

---@return boolean
function M.is_on() return on end

--- Raises kind "read_only" while the mode is on.
---@param what string what is refused: "call ec2.CreateVpc"
function M.refuse(what)
  if not on then return end
  errors.raise { kind = "read_only", op = what, message = "it can change something, and this session is read-only", hint = way_out }
end

return M
