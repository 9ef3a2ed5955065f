"""The terms of the products of gradients: tables of terms, and the sums over them."""
