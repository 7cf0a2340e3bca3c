"""What is looked at: one file for each kind of check. Each makes its calls, judges them, and returns results."""
