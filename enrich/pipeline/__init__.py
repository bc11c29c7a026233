"""The line every row travels, one module a word of it, and who drives it."""
