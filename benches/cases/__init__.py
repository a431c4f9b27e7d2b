"""The cases, one file each: `measure` returns figures, `table` makes Markdown of them."""
