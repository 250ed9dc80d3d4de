"""The console: pages for people, over what the other rooms answer programs, with the same permissions."""
