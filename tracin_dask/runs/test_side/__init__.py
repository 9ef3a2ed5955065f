"""What lies between the training triples and the test triples: the rows that these read, and landmarks."""
