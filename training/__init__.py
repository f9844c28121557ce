"""How the default model is made: see README.md."""
