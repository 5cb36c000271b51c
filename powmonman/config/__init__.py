"""Configuration: `schema` says what the keys are, `loader` reads a file into them."""
