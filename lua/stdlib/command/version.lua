return {
  help = "prints the version",
  main = function() print("hkrun 0.1.0") return 0 end,
}
