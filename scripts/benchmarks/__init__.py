"""The benchmark suite: sections measured by pytest-benchmark, requirements stated as data, tables and plots."""
