"""What goes over the network: TLS and finding the server. No asyncio here."""
