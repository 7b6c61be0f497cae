"""How often what a report claims is true: simulated from known truths, by the product's own functions."""
