"""How HTTP is spoken: connections, errors, what happens around every request, JSON, the description of the API."""
