"""tidegate in programs that were written for something else."""
