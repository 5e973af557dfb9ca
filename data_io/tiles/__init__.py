"""From images to tiles: cut, split without leaks, cached by content, and served in batches."""
