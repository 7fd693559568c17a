"""Programs that import heavy libraries. They are started as processes; nobody imports them."""
