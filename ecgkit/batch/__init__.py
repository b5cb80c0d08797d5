"""The batch: notebooks run with a profile's parameters, their pages built into a book, the book published."""
