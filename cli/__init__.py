"""The `pay402` command line: one small file per command."""
