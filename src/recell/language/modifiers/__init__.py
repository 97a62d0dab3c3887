"""Graph-to-graph modifiers, one file a kind; users find them in `recell.modifiers`."""
