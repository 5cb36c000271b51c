"""The client on every UPS-backed host. Standard library and PyYAML only, and no asyncio."""
