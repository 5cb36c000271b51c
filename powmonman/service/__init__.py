"""What a daemon needs of its host: logs, its service manager, its clocks, its files."""
