"""API keys and access tokens over HTTP."""
