"""What can be wrong with a package for triptych, one of each. See README.md."""
