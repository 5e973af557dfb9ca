"""The studies: declarations only, one module each, every one a `STUDY = Study(...)`."""
