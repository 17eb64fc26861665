"""What people look at: the morning report."""
