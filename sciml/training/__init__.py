"""Training: task, losses, optimizers, run directories."""
