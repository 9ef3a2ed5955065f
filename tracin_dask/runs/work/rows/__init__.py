"""What is done with the rows of a range: they are read, scored and handed on."""
