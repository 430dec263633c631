--- Text from anywhere, fit to be shown: on one line, valid UTF-8, and nothing in it that turns what stands beside it around.

-- Marks that change the direction of writing (Unicode 9.0 Annex 9), line and paragraph separators, and the byte order mark.
local MARKS = { [0x061C] = true, [0x200E] = true, [0x200F] = true, [0x2028] = true, [0x2029] = true, [0xFEFF] = true }
for c = 0x202A, 0x202E do MARKS[c] = true end
for c = 0x2066, 0x2069 do MARKS[c] = true end

---@param s any
---@return string
return function(s)
  s = tostring(s)
  while not utf8.len(s) do
    local _, bad = utf8.len(s)
    s = s:sub(1, bad - 1) .. "\u{FFFD}" .. s:sub(bad + 1)
  end
  s = s:gsub("[\0-\31\127]", " ")
  if not s:find "[\128-\255]" then return s end
  return (s:gsub(utf8.charpattern, function(char)
    local c = utf8.codepoint(char)
    if MARKS[c] then return ("[U+%04X]"):format(c) end
    if c >= 0x80 and c < 0xA0 or c & 0xFFFE == 0xFFFE then return "\u{FFFD}" end
  end))
end
