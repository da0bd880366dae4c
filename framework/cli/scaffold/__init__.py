"""What `triptych new` writes: the names, the spec, and the files of a package."""
