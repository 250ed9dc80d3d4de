"""What `pay402 doctor` looks at, one module per part of a deployment."""
