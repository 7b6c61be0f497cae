"""Campaigns that interrupt, starve and damage small experiments, and see whether anything is wrong in silence."""
