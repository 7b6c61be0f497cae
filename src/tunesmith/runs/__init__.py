"""The files of a run folder: whether they are still what the run wrote (docs/run-folder.md)."""
