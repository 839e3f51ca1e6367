"""Files that are whole or not there, and caches that stay within their limit. Below every other layer but config."""
