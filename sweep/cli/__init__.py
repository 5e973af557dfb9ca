"""The command line: the only room that prints, reads signals from the terminal, and sets exit codes."""
