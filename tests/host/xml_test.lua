local test = require "test"
local xml = require "xml"
local secret = require "secret"

local T = test.cases()

local function refused(text, pattern, opts)
  local node, err = xml.decode(text, opts)
  test.equal(node, nil, "decoding " .. (type(text) == "string" and text:sub(1, 40) or "a secret"))
  test.match(err.message, "line %d+, column %d+")
  if pattern then test.match(err.message, pattern) end
  return err
end

T["elements, attributes and text become nodes"] = function()
  local root = xml.decode [[<?xml version="1.0"?>
    <Response xmlns="http://x/" b:c="1 &amp; 2"><items><item>a</item><item/></items>  <id> 7&#10;</id></Response>]]
  test.equal(root, {
    name = "Response", attrs = { xmlns = "http://x/", ["b:c"] = "1 & 2" }, text = "", children = {
      { name = "items", attrs = {}, text = "", children = {
        { name = "item", attrs = {}, text = "a", children = {} }, { name = "item", attrs = {}, text = "", children = {} } } },
      { name = "id", attrs = {}, text = " 7\n", children = {} },
    } })
  test.equal(xml.child(root, "id").text, " 7\n")
  test.equal(xml.child(root, "none"), nil)
end

T["text around children is joined; CDATA and references are text"] = function()
  local root = xml.decode "<a>x<b/>y<![CDATA[<&>]]>&lt;&#x1F600;<!-- no --><?pi no?></a>"
  test.equal(root.text, "xy<&><😀")
  test.equal(xml.decode("<a>  </a>").text, "  ")
  test.equal(xml.decode("<a>\n <b/>\n</a>").text, "")
end

T["other encodings arrive as UTF-8"] = function()
  test.equal(xml.decode("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>").text, "é")
end

T["what is not well-formed is refused with its place"] = function()
  for _, bad in ipairs { "", " ", "<a>", "<a></b>", "<a b=1/>", "<a b='1' b='2'/>", "<a/><b/>", "text", "<a>&none;</a>", "<a>\255</a>",
                         "<a>\0</a>", "<a>&#0;</a>", "<a>&#1;</a>", "<a", "<a><![CDATA[", "<1/>", "<a>]]></a>", "<a>\xC0\x80</a>" } do
    test.equal(refused(bad).kind, "invalid")
  end
  refused("<a>\n  <b>\n</a>", "line 3, column %d+: mismatched tag")
end

T["a billion laughs are refused before the first one"] = function()
  local lol = { '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol0 "lol">' }
  for i = 1, 9 do lol[#lol + 1] = ('<!ENTITY lol%d "%s">'):format(i, ("&lol" .. i - 1 .. ";"):rep(10)) end
  lol[#lol + 1] = "]><lolz>&lol9;</lolz>"
  test.equal(refused(table.concat(lol), "entities").kind, "limit")
  refused('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a/>', "entities")
  refused('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "entities")
  test.equal(xml.decode('<!DOCTYPE html><a>fine</a>').text, "fine")
end

T["nesting is limited both ways"] = function()
  test.equal(xml.decode(("<a>"):rep(256) .. ("</a>"):rep(256)).name, "a")
  test.equal(refused(("<a>"):rep(257) .. ("</a>"):rep(257), "deeper").kind, "limit")
  refused(("<a>"):rep(1000000), "deeper")
  local node = { name = "a" }
  node.children = { node }
  test.raises("deeper", xml.encode, node)
end

T["encode writes what decode reads"] = function()
  local text = '<a b="1&quot;&lt;&#10;" c="&amp;"><d>x &lt; &amp; &gt; "y"\nz&#13;</d><e/><f>😀</f></a>'
  text = text:gsub('"y"', "&quot;y&quot;")
  test.equal(xml.encode(xml.decode(text)), text)
  test.equal(xml.encode({ name = "n", text = 12 }, { declaration = true }), '<?xml version="1.0" encoding="UTF-8"?>\n<n>12</n>')
  test.equal(xml.encode { name = "n", attrs = { z = 1, a = true, ["x:m"] = "" }, children = { { name = "o" } } },
    '<n a="true" x:m="" z="1"><o/></n>')
end

T["what XML cannot hold raises"] = function()
  test.raises("control character", xml.encode, { name = "a", text = "\0" })
  test.raises("control character", xml.encode, { name = "a", attrs = { b = "\27" } })
  test.raises("UTF%-8", xml.encode, { name = "a", text = "\255" })
  for _, name in ipairs { "", "1a", "a b", "a>", "-a", "a\0b", "<" } do test.raises("not a name", xml.encode, { name = name }) end
  test.raises("not a name", xml.encode, { name = "a", attrs = { ["b='1' c"] = 1 } })
  test.raises("name is a nil", xml.encode, {})
  test.raises("table is neither", xml.encode, { name = "a", text = {} })
  test.raises("not a table", xml.encode, { name = "a", children = { "x" } })
end

T["named elements become secrets, with what is below them"] = function()
  local text = "<r><Id>i</Id><Credentials><Key>k</Key></Credentials><SecretAccessKey>s&amp;t</SecretAccessKey><v Token='t'/></r>"
  local root = xml.decode(text, { secrets = { Credentials = true, SecretAccessKey = true, Token = true } })
  test.equal(root.children[1].text, "i")
  test.truthy(secret.is(root.children[2].children[1].text))
  test.truthy(secret.equal(root.children[3].text, "s&t"))
  test.truthy(secret.is(root.children[4].attrs.Token))
  local all = xml.decode(text, { secrets = true })
  test.truthy(secret.is(all.children[1].text))
end

T["in a secret document only the fixed elements are strings"] = function()
  local root = xml.decode(secret.new [[<r><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey><x y="z">text<w/></x></r>]])
  test.equal(root.children[1].text, "A")
  test.truthy(secret.is(root.children[2].text) and secret.is(root.children[3].text) and secret.is(root.children[3].attrs.y))
  test.equal(root.text, "")
  local err = refused(secret.new "<r><hunter2></hunter3>")
  test.truthy(not err.message:find "hunter")
end

T["a secret in a node makes its text a secret"] = function()
  local out = xml.encode { name = "a", attrs = { b = secret.new "<" }, text = secret.new "&" }
  test.truthy(secret.is(out) and secret.equal(out, '<a b="&lt;">&amp;</a>'))
end

T["nodes without children cannot be changed by accident for all others"] = function()
  local root = xml.decode "<a><b/><c/></a>"
  test.raises("give it a table", function() root.children[1].attrs.x = 1 end)
  root.children[1].attrs = { x = 1 }
  test.equal(xml.encode(root), '<a><b x="1"/><c/></a>')
end

T["a large document is read"] = function()
  local parts = {}
  for i = 1, 30000 do parts[i] = ("<item><id>i-%08d</id><state>running</state></item>"):format(i) end
  local root = xml.decode("<r>" .. table.concat(parts, "\n") .. "</r>")
  test.equal(#root.children, 30000)
  test.equal(root.children[30000].children[1].text, "i-00030000")
end

T["texts, attributes and names that span the parts in which a document is read"] = function()
  local long = ("0123456789abcdef"):rep(20000)
  local root = xml.decode(("<r><a x='%s'>%s</a>tail&amp;<b/>%s</r>"):format(long, long, long))
  local first = root.children[1]
  test.equal({ #root.children, first.attrs.x == long, first.text == long, root.text == "tail&" .. long }, { 2, true, true, true })
  root = xml.decode(("<r><Password>%s</Password></r>"):format(long), { secrets = { Password = true } })
  test.equal({ secret.is(root.children[1].text), secret.size(root.children[1].text) }, { true, #long })
end

return T
