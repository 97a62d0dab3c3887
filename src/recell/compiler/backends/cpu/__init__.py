"""The plan run by the native runtime on the processor."""
