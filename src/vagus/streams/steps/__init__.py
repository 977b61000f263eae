"""What the operators of a stream do to frames, one kind a file."""
