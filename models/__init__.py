"""The model that ships with the project and the code that trains it."""
