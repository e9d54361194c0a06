"""How the admin writes times, by language: Django looks here first."""
