DROP FUNCTION mint_counts_as(text, text);
