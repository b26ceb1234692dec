"""The documentation's reference pages, generated from the code when the site is built."""
