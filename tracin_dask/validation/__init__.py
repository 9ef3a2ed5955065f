"""The worth of influence methods, measured: by trainings on other triples, and by known mistakes."""
