"""The decisions: pure functions of state and time.

Nothing in this package does I/O, looks at a clock, logs, or imports anything else of ours.
"""
