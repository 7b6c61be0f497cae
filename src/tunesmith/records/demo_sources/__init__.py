"""Sources for demonstration and tests: drawn digits, Python's own docstrings, film ratings."""
