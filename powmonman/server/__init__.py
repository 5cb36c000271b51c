"""The server: senses the mains, tells every client, keeps a roster of them."""
