"""How many duplicates are found and how many unrelated records are taken for some, by kind."""
