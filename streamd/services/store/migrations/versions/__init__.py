"""One module for each schema step. A step that was released never changes."""
