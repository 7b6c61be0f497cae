"""One file per command. A command composes; it decides nothing."""
