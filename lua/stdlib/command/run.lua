--- hkrun run RECIPE: another word for apply.
return { help = "another word for apply", main = require("command.apply").main }
