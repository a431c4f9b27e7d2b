"""The side field: caches of other registries, one file each. A cache that is not installed is skipped."""
