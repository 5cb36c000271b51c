"""Configuration: `schema` and its sections say what keys there are, `loader` reads a file."""
