return string.format
