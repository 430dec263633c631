--- The words of a piece of Lua that may break off anywhere, and what stands around its end: which brackets are open,
--- which call they belong to, which key of a table is being given.
local M = {}

---@class repl.Token
---@field kind "name"|"string"|"number"|"op"
---@field value string
---@field to integer where it ends
---@field open? string of a string that has not ended: its quote

---@class repl.Frame            an open bracket
---@field open string           "(" "{" "["
---@field call? repl.Step[]     the function that is called with it
---@field index integer         how many values came before, from 0
---@field key? string           the key whose value is being given
---@field given table<string, boolean> keys that have been given
---@field first? string         a string that is its first value

---@class repl.Step             of an expression such as aws.ec2, r.Vpcs[1], f(x)
---@field how "name"|"."|":"|"["|"call"
---@field name? string|integer

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until
               while]]):gmatch "%S+" do KEYWORDS[word] = true end
M.keywords = KEYWORDS

local function long_string(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local from = at + #level + 2
  local stop, to = text:find("]" .. level .. "]", from, true)
  return { kind = "string", value = text:sub(from, stop and stop - 1), to = to or #text, open = not stop and "[" or nil }
end

local function quoted(text, at)
  local quote, i = text:sub(at, at), at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return { kind = "string", value = text:sub(at + 1, i - 1), to = i } end
    i = i + (c == "\\" and 2 or 1)
  end
  return { kind = "string", value = text:sub(at + 1), to = #text, open = quote }
end

local function token(text, at)
  local c = text:sub(at, at)
  if c:find "[%a_]" then
    local name = text:match("^[%w_]+", at)
    return { kind = "name", value = name, to = at + #name - 1 }
  end
  if c:find "%d" then
    local number = text:match("^[%w.]+", at)
    return { kind = "number", value = number, to = at + #number - 1 }
  end
  if c == '"' or c == "'" then return quoted(text, at) end
  if c == "[" and text:find("^%[=*%[", at) then return long_string(text, at) end
  local op = text:match("^%.%.%.?", at) or text:match("^[=~<>]=", at) or text:match("^::", at) or c
  return { kind = "op", value = op, to = at + #op - 1 }
end

---@param text string
---@return repl.Token[]
local function tokens(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    if text:find("^%-%-", at) then
      local long = long_string(text, at + 2)
      local stop = long and long.to or (text:find("\n", at, true) or #text)
      if stop >= #text and not (long and not long.open) and text:sub(-1) ~= "\n" then list.comment = true end
      at = stop + 1
    else
      local found = token(text, at)
      list[#list + 1] = found
      at = found.to + 1
    end
  end
end

local function with(chain, step)
  local longer = table.move(chain, 1, #chain, 1, {})
  longer[#longer + 1] = step
  return longer
end

local State = {}
State.__index = State

function State:top() return self.stack[#self.stack] end

function State:push(open, call, base)
  self.stack[#self.stack + 1] = { open = open, call = call, base = base, index = 0, given = {} }
  self.chain, self.pending = nil, nil
end

function State:pop()
  local frame = table.remove(self.stack)
  self.chain, self.pending = nil, nil
  if not frame then return end
  if frame.call then self.chain = with(frame.call, { how = "call" })
  elseif frame.base and frame.literal ~= nil then self.chain = with(frame.base, { how = "[", name = frame.literal })
  elseif frame.open == "[" and not frame.base and self:top() then self:top().bracketed = frame.literal end
end

function State:name(word)
  local chain, pending = self.chain, self.pending
  self.chain, self.pending = nil, nil
  if pending then self.chain = chain and with(chain, { how = pending, name = word }) -- nil: of something unknown
  elseif not KEYWORDS[word] then self.chain = { { how = "name", name = word } } end
end

--- A literal: the whole of an index, the first value of a call.
function State:literal(value)
  local top = self:top()
  if self.chain and type(value) == "string" then self.chain = with(self.chain, { how = "call" }) return end
  self.chain, self.pending = nil, nil
  if not top then return end
  if top.open == "[" then top.literal = value end
  if top.index == 0 and not top.key and type(value) == "string" then top.first = value end
end

function State:op(op)
  local top, chain = self:top(), self.chain
  if op == "(" or op == "{" then return self:push(op, chain) end
  if op == "[" then return self:push(op, nil, chain) end
  if op == ")" or op == "}" or op == "]" then return self:pop() end
  if op == "." or op == ":" then self.pending = op return end
  if op == "=" and top and top.open == "{" then
    local key = chain and #chain == 1 and chain[1].name or top.bracketed
    top.key = key
    if key then top.given[key] = true end
  elseif (op == "," or op == ";") and top then
    top.index, top.key, top.bracketed = top.index + 1, nil, nil
  elseif top and top.open == "[" then top.base = nil        -- computed: nobody knows what it finds
  end
  self.chain, self.pending = nil, nil
end

--- Reads text up to its end.
---@param text string
---@return { stack: repl.Frame[], chain?: repl.Step[], access?: string, word: string, quote?: string }? at nil in a comment
--- word: the part of a name (or, with `quote`, of a string) that is there; chain and access ("." or ":"): what it is of
function M.read(text)
  local list = tokens(text)
  if list.comment then return nil end
  local state, last = setmetatable({ stack = {} }, State), list[#list]
  local word, quote = "", nil
  if last and last.open then
    word, quote = last.value, last.open
    list[#list] = nil
  elseif last and last.kind == "name" and last.to == #text then
    word = last.value
    list[#list] = nil
  end
  for _, t in ipairs(list) do
    if t.kind == "name" then state:name(t.value)
    elseif t.kind == "op" then state:op(t.value)
    else state:literal(t.kind == "number" and math.tointeger(tonumber(t.value)) or t.value) end
  end
  local access = state.pending
  return { stack = state.stack, chain = (access or quote) and state.chain or nil, access = access, word = word, quote = quote }
end

return M
