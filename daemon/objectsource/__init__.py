"""The other side of the callback service, for trials and tests: objects, and callbacks on them."""
