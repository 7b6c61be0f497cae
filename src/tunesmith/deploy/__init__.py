"""What training left, put to use: predictions on new records. Reads run folders, trains and scores nothing."""
