"""The command about devices: what is plugged in, what is known, what to do."""

import click

from harness.options import json_option


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the devices of devices.yaml and the phones that are plugged in, with state and what to do."""
    from harness import pipeline

    found = pipeline.list_devices()
    if as_json:
        from harness.store import encode

        click.echo(encode(found))
        return
    from harness.listing import device_lines

    for line in device_lines(found):
        click.echo(line)
