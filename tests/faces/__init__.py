"""What is true of every face, said once and tried on each."""
