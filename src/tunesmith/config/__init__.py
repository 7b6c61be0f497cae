"""The grammar of an experiment file. Nothing in this room, nor what it reads settings from, imports torch."""
