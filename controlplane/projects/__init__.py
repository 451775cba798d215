"""Projects and the workflows pushed to them."""
