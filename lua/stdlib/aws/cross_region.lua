--- Copies from another region: the service fetches them with a URL that is signed for the region where the source is, and
--- that the client makes. Sources: "PreSignedUrl" of CopyDBSnapshot (RDS API Reference); botocore's handlers.py.
local endpoint = require "aws.endpoint"
local query = require "aws.protocol.query"
local sign = require "sign"
local signing = require "aws.signing"

local M = {}

--- What makes a copy, and the member that has the URL.
local COPIES = { ["ec2.CopySnapshot"] = "PresignedUrl" }
for name in ([[rds.CopyDBSnapshot rds.CopyDBClusterSnapshot rds.CreateDBCluster rds.CreateDBInstanceReadReplica
               rds.StartDBInstanceAutomatedBackupsReplication docdb.CopyDBClusterSnapshot docdb.CreateDBCluster
               neptune.CopyDBClusterSnapshot neptune.CreateDBCluster]]):gmatch "%S+" do COPIES[name] = "PreSignedUrl" end

local SECONDS = 3600 -- that the URL is valid, as in boto3

--- The same call as a GET in the source's region.
local function source_url(self, op, args, wire, form)
  local source = args.SourceRegion
  local place = endpoint.resolve(self.model, source, { endpoint = self.options.endpoint, profile = self.options.profile,
    fips = self.options.fips, dual_stack = self.options.dual_stack, op = op, args = args })
  local pairs_ = table.move(form, 1, #form, 1, {})
  pairs_[#pairs_ + 1] = { "DestinationRegion", self.region }
  local claim = signing.claim(self, { method = "GET", place = place.url .. wire.path, query = pairs_, headers = {}, body = "",
                                      region = place.region, signing_name = place.signing_name })
  return claim and sign.presign(claim, SECONDS)
end

--- Puts the URL into the form of a copy, where the caller gives none. SourceRegion is a word of the client's for all
--- but EC2, which wants both regions.
---@param self aws.Client
---@param op aws.Operation
---@param args table checked arguments
---@param wire aws.WireRequest whose form and body change
function M.add(self, op, args, wire)
  local service = self.model.service
  local member = COPIES[service .. "." .. op.name]
  if not member or args.SourceRegion == nil or service == "ec2" and args[member] ~= nil then return end
  local ours, form = service == "ec2" and "DestinationRegion" or "SourceRegion", {}
  for _, pair in ipairs(wire.form) do if pair[1] ~= ours then form[#form + 1] = pair end end
  if args[member] == nil then
    local url = source_url(self, op, args, wire, form)
    form[#form + 1] = url and { member, url }
    if service == "ec2" then form[#form + 1] = { ours, self.region } end
  end
  wire.form, wire.body = form, query.form(form)
end

return M
