"""What a file is: pure, from its bytes, its declared type and its name."""
