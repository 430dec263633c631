--- Writes lua/stdlib/aws/models/*.txt, what the AWS client knows of each service, from a wheel of botocore: the newest
--- version of every service. Run by `make models`; WHEEL is the wheel's path, OUT another folder to write to.
local convert = require "aws.model.convert"
local file = require "aws.model.file"

local wheel, out = os.getenv "WHEEL", os.getenv "OUT" or "lua/stdlib/aws/models"
local version = wheel:match "botocore%-([%d.]+)%-"
local dir = fs.tmpdir "hkrun-models-"
zip.unpack(wheel, dir)

local newest = {}
for _, entry in ipairs(zip.list(wheel)) do
  local service, dated = entry.path:match "^botocore/data/([^/]+)/(%d+%-%d+%-%d+)/service%-2%.json"
  if service and dated > (newest[service] or "") then newest[service] = dated end
end

local known = {}
for service, dated in pairs(newest) do
  known[service .. ".txt"] = true
  local path = ("%s/botocore/data/%s/%s/service-2.json"):format(dir, service, dated)
  if not fs.exists(path) then path = path .. ".gz" end
  fs.write(("%s/%s.txt"):format(out, service), convert.text(file.parts(path), path,
    ("Made by `make models` from botocore %s (Apache-2.0, see NOTICE). Do not edit."):format(version)))
end
for _, name in ipairs(fs.list(out)) do
  if not known[name] then os.remove(out .. "/" .. name) end -- a service that botocore has no more
end
fs.rmtree(dir)
