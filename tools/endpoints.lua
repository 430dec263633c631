--- Writes lua/stdlib/aws/endpoints/*.txt, where AWS's services are, from the endpoint rule sets of a botocore.
---
---     BOTOCORE=FOLDER OUT=FOLDER hkrun - < tools/endpoints.lua
---
--- Most services have the same rules but for their name, so a file holds the rules of several; index.txt says which file
--- a service uses, partitions.txt what the partitions are. A line of rules is, at the depth that its blanks say, one of
---
---     condition & condition          the deeper lines below count when they all hold; one may be `name = condition`
---     > URL {properties}             the endpoint
---     ! TEXT                         why there is none
---
--- and above them `: OPERATION Parameter=value`: a parameter of the rules that an operation sets (true, "text"), or takes
--- from its argument (@Member). lua/stdlib/aws/endpoint/rules.lua reads them.
local botocore, out = os.getenv "BOTOCORE", os.getenv "OUT"
local data = botocore .. "/data"

local function load(path)
  local bytes = fs.exists(path) and fs.read(path) or zip.inflate(fs.read(path .. ".gz"))
  return assert(json.decode(bytes))
end

local function newest(folder)
  local versions = {}
  for _, name in ipairs(fs.list(folder)) do
    if name:find "^%d%d%d%d%-%d%d%-%d%d" then versions[#versions + 1] = name end
  end
  table.sort(versions)
  return versions[#versions]
end

local function expression(v)
  if type(v) ~= "table" then return json.encode(v) end
  if v.ref then return v.ref end
  local args = {}
  for i, arg in ipairs(v.argv) do args[i] = expression(arg) end
  return v.fn .. "(" .. table.concat(args, ",") .. ")"
end

local function put(lines, depth, text) lines[#lines + 1] = (" "):rep(depth) .. text end

local function write(lines, rules, depth)
  for _, rule in ipairs(rules) do
    local inner, conditions = depth, {}
    for i, condition in ipairs(rule.conditions or {}) do
      conditions[i] = (condition.assign and condition.assign .. " = " or "") .. expression(condition)
    end
    if conditions[1] then
      put(lines, depth, table.concat(conditions, " & "))
      inner = depth + 1
    end
    if rule.type == "tree" then
      write(lines, rule.rules, inner)
    elseif rule.type == "error" then
      put(lines, inner, "! " .. rule.error)
    else
      local properties = rule.endpoint.properties or {}
      properties.metricValues = nil
      if rule.endpoint.headers and next(rule.endpoint.headers) then properties.headers = rule.endpoint.headers end
      put(lines, inner, "> " .. expression(rule.endpoint.url):gsub('^"(.*)"$', "%1") .. (next(properties) and " " .. json.encode(properties) or ""))
    end
  end
end

--- Parameters that the operations of a service give to its rules.
local function contexts(lines, model)
  local names = {}
  for name in pairs(model.operations) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local op, words = model.operations[name], {}
    for parameter, said in pairs(op.staticContextParams or {}) do words[#words + 1] = parameter .. "=" .. json.encode(said.value) end
    for member, ref in pairs(op.input and model.shapes[op.input.shape].members or {}) do
      if ref.contextParam then words[#words + 1] = ref.contextParam.name .. "=@" .. member end
    end
    table.sort(words)
    if words[1] then put(lines, 0, ": " .. name .. " " .. table.concat(words, " ")) end
  end
end

local function literal(text) return (text:gsub("%p", "%%%0")) end

local texts, index, files = {}, {}, {}
for _, service in ipairs(fs.list(data)) do
  local folder = data .. "/" .. service
  local version = not service:find "%." and newest(folder)
  if version then
    folder = folder .. "/" .. version
    local model, lines = load(folder .. "/service-2.json"), {}
    contexts(lines, model)
    write(lines, load(folder .. "/endpoint-rule-set-1.json").rules, 0)
    local text = table.concat(lines, "\n"):gsub("//" .. literal(model.metadata.endpointPrefix) .. "%f[^%w-]", "//{PREFIX}"):gsub(
      "//" .. literal(model.metadata.endpointPrefix) .. "%-fips%f[^%w-]", "//{PREFIX}-fips")
    if not texts[text] then
      texts[text] = service
      files[#files + 1] = { name = service, text = text }
    end
    index[#index + 1] = service .. " " .. texts[text]
  end
end

local head = "# Made by `make models` from botocore (Apache-2.0, see NOTICE). Do not edit.\n"
fs.rmtree(out)
fs.mkdir_p(out)
for _, file in ipairs(files) do fs.write(out .. "/" .. file.name .. ".txt", head .. file.text .. "\n") end
fs.write(out .. "/index.txt", head .. table.concat(index, "\n") .. "\n")

local partitions = {}
for _, partition in ipairs(load(data .. "/partitions.json").partitions) do
  local o, regions, stems = partition.outputs, {}, {}
  local stem = partition.regionRegex:gsub("\\%-", "-"):match "^%^(.*)%-\\w%+%-\\d%+%$$"   -- "(us|eu)", "us-gov", "eusc-(de)"
  local before, choice = stem:match "^(.-)%((.*)%)$"
  for word in (choice or stem):gmatch "[^|]+" do stems[#stems + 1] = (before or "") .. word end
  for region in pairs(partition.regions) do regions[#regions + 1] = region end
  table.sort(regions)
  partitions[#partitions + 1] = ("%s dnsSuffix=%s dualStackDnsSuffix=%s implicitGlobalRegion=%s supportsFIPS=%s supportsDualStack=%s stems=%s regions=%s")
    :format(partition.id, o.dnsSuffix, o.dualStackDnsSuffix, o.implicitGlobalRegion, o.supportsFIPS, o.supportsDualStack,
            table.concat(stems, ","), table.concat(regions, ","))
end
fs.write(out .. "/partitions.txt", head .. table.concat(partitions, "\n") .. "\n")
