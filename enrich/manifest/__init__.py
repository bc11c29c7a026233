"""The project's files as parsed: settings, models, prompts, outputs, tests, and what reads what."""
