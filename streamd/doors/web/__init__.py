"""Pages, the public API and the admin API, on aiohttp."""
