"""What a thermal zone's number means."""


def celsius(raw: int | None) -> float | None:
    """Zones count in m°C, some in whole °C; what cannot be a phone's temperature is unknown, never cool."""
    if raw is None:
        return None
    if 1 <= raw <= 150:
        return float(raw)
    return raw / 1000 if 1000 <= raw <= 150_000 else None
