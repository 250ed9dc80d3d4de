"""All processes together, as `pay402 up` runs them."""
