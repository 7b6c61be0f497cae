"""The split: which records are held out, which are alike, and the manifest that says so."""
