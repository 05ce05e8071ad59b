"""What ``showroom benchmark NAME`` measures; every row names its peer measured in the same run."""
