"""ConvE: its module, its dialects, and conversion between them."""
