"""A single machine that guards itself: server and client on one host, from one small file."""
