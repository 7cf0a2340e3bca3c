"""polyloss beside the frameworks' own losses: ratios of time and of memory, ``polyloss bench``."""
