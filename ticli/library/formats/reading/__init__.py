"""Reading files of strangers: containers first, then what the tensors in them mean."""
