std = "lua54"
max_line_length = 150
max_string_line_length = 220           -- Python in the tests of foreign clients
-- `local guard <close> = ...` is used by leaving its block
ignore = { "212/_.*", "212/self", "213", "431", "432" }
files["lua/stdlib/policy/actions.lua"] = { max_line_length = false }                     -- data
exclude_files = { "build", "examples/**/node_modules", "lua/stdlib/template" }   -- what `hkrun new` makes of those is linted by its test
