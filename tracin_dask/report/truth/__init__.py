"""Known explanations: reads them, marks the training triples of a result that are known, and measures how they rank."""
