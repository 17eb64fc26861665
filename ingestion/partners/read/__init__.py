"""From a file's bytes to blocks of text columns, whatever its format and packing."""
