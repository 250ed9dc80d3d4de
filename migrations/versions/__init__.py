"""One module per version; what it does stands in the SQL files of the same name."""
