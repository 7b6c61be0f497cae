"""Run folders in, tables, plots and one self-contained page out. Reads files only."""
