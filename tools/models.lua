--- Writes lua/stdlib/aws/models/*.txt, what the AWS client knows of each service: the newest version of every service
--- of a botocore.
---
---     BOTOCORE=FOLDER OUT=FOLDER hkrun - < tools/models.lua
---
--- BOTOCORE is the package's folder, with data/ in it.
local convert = require "aws.model.convert"
local file = require "aws.model.file"

local botocore, out = os.getenv "BOTOCORE", os.getenv "OUT"
local version = fs.read(botocore .. "/__init__.py"):match "__version__ = ['\"]([^'\"]+)"

local function newest(folder)
  local versions = {}
  for _, name in ipairs(fs.list(folder)) do
    if name:find "^%d%d%d%d%-%d%d%-%d%d" then versions[#versions + 1] = name end
  end
  table.sort(versions)
  return versions[#versions]
end

fs.rmtree(out) -- a service that is no more leaves no file
fs.mkdir_p(out)
for _, service in ipairs(fs.list(botocore .. "/data")) do
  local folder = botocore .. "/data/" .. service
  local dated = fs.stat(folder).type == "dir" and newest(folder)
  if dated then
    local path = ("%s/%s/service-2.json"):format(folder, dated)
    if not fs.exists(path) then path = path .. ".gz" end
    fs.append(("%s/%s.txt"):format(out, service), convert.text(file.parts(path), path,
      ("Made by `make models` from botocore %s (Apache-2.0, see NOTICE). Do not edit."):format(version)))
  end
end
