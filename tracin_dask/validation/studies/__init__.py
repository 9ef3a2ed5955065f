"""The studies, one file each: a plan of trainings, what is measured after each, and a table."""
