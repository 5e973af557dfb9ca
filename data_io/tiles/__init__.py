"""From images to tiles: found, cut, split without leaks, cached by content, served in batches."""
