"""The side field: other caches, each measured only where it is installed. One file each."""
