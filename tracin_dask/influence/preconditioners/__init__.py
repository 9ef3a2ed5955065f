"""What stands between two gradients: P in the product of one gradient with P times the other."""
