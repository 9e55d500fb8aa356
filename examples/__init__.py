"""Sample models and programs that show hetpart at work; not part of the installed package."""
