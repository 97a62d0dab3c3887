"""The plan run with torch ops, on any device, differentiated by torch's autograd."""
