"""Records: rows of the user's files as they are on disk, their fields, filters, marks and the store that keeps them."""
