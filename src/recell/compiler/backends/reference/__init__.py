"""The definition: the graph interpreted in NumPy float64 with a tape of its own."""
