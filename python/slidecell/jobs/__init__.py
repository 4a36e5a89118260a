"""The jobs that the command line runs: options in, one report out, and what renders it."""
