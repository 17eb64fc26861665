"""From blocks of text to rows of the contract, and the lines that are none."""
