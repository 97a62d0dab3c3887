"""The step graph: sizes, the op table, frozen nodes, the rules they obey, and how they are shown."""
