"""The fleet CA. Only the control node imports this; it needs the package `cryptography`."""
