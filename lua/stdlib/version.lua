--- The version of hkrun.
return "0.1.0"
