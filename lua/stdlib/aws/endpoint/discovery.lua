--- Endpoints that a service names itself, for each account: Timestream answers nowhere else. DynamoDB has them, too, but
--- for those who ask; its endpoints of the region serve everyone. Source: "Using the Timestream endpoint discovery pattern".
local endpoint = require "aws.endpoint"
local task = require "task"

local M = {}

local REQUIRED = { ["timestream-query"] = true, ["timestream-write"] = true }
local ASKING = "DescribeEndpoints"

local function is_found(self, op) return REQUIRED[self.model.service] and op.name ~= ASKING end

--- The endpoint that the service named, if it was asked for.
---@param self aws.Client
---@param op aws.Operation
---@return string? url
function M.known(self, op)
  local found = is_found(self, op) and self.discovered
  return found and task.now() < found.expires and found.url or nil
end

--- Asks for the endpoint of an operation that needs one; a custom endpoint stands for all.
---@param self aws.Client
---@param op aws.Operation
function M.ask(self, op)
  if not is_found(self, op) or M.known(self, op) then return end
  local o = { endpoint = self.options.endpoint, profile = self.options.profile, fips = self.options.fips, dual_stack = self.options.dual_stack }
  if endpoint.resolve(self.model, self.region, o).custom then return end
  local first = self:call(ASKING).Endpoints[1]
  local url = first.Address:find "^https?:" and first.Address or "https://" .. first.Address
  self.discovered = { url = url, expires = task.now() + first.CachePeriodInMinutes * 60 }
end

--- Forgets the endpoint of a service that says it is no longer the one. True if it was known.
---@param self aws.Client
---@param e Error
---@return boolean
function M.forget(self, e)
  local known = self.discovered ~= false
  if not known or not (e.code == "InvalidEndpointException" or e.status == 421) then return false end
  self.discovered = false
  return true
end

return M
