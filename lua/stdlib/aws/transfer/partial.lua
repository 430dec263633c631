--- A file that is being downloaded: its bytes beside the target under another name, and a map of the parts that are there,
--- each with its checksum. Both are gone when the target is there.
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local sign = require "sign"
local task = require "task"

local Partial = {}
Partial.__index = Partial

local CHECK = "crc32"         -- of the map's lines

--- The parts that the map names; none if it is of another object.
local function read_map(self, mark)
  local ok, text = pcall(fs.read, self.map)
  local done = {}
  if not ok then return done end
  local first, lines = text:match "^([^\n]*)\n(.*)$"
  if first ~= mark then return done end
  for number, crc in lines:gmatch "(%d+) (%x+)\n" do done[tonumber(number)] = tonumber(crc, 16) end      -- not a line that was cut off
  return done
end

--- Opens the partial file of a target. Raises "io" when another run writes it.
---@param target string
---@param facts table what the object is; parts that were got of another are thrown away
---@param parts aws.Part[]
---@param resume boolean
---@param parallel integer
---@return table partial its parts that are there have `digest`
local function open(target, facts, parts, resume, parallel)
  local self = setmetatable({ target = target, path = target .. ".s3-part", map = target .. ".s3-part.map" }, Partial)
  self.lock = errors.check("download to " .. target, fs.lock(self.path))
  if not self.lock then errors.raise { kind = "io", op = "download to " .. target, message = "another run is downloading it" } end
  local mark = errors.check("describe a download", json.encode(facts, { sort = true }))
  local done = resume and read_map(self, mark) or {}
  task.map(parts, function(part)
    if not done[part.number] then return end
    local digest = sign.digest_file(self.path, { CHECK, facts.digest }, { offset = part.offset, length = part.length })
    if digest.size == part.length and digest.crc32 == done[part.number] then part.digest = digest end
  end, { limit = parallel })
  local kept = {}
  for _, part in ipairs(parts) do
    if part.digest then kept[#kept + 1] = ("%d %08x\n"):format(part.number, part.digest.crc32) end
  end
  if #kept == 0 then io.open(self.path, "w"):close() end                        -- the same file, which is locked
  fs.write(self.map, mark .. "\n" .. table.concat(kept), 384)
  self.digests = { CHECK, facts.digest }
  return self
end

--- Notes that a part has arrived.
---@param part aws.Part
function Partial:arrived(part)
  part.digest = sign.digest_file(self.path, self.digests, { offset = part.offset, length = part.length })
  fs.append(self.map, ("%d %08x\n"):format(part.number, part.digest.crc32), 384)
end

--- Gives the file its name.
function Partial:finish()
  local old = fs.stat(self.target)
  if old then fs.chmod(self.path, old.mode) end
  fs.sync(self.path)
  fs.rename(self.path, self.target)
  fs.remove(self.map)
end

--- Throws away what has arrived.
function Partial:discard()
  fs.remove(self.map)
  fs.remove(self.path)
end

function Partial:__close()
  if self.lock then fs.unlock(self.lock) end
  self.lock = nil
end

return { open = open }
