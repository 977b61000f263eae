"""Sensors that send text: what can't be read is set apart, what comes late is told.

vagus run examples/sensors.py --http :8080    # in one terminal
python examples/sensors.py                    # in another: some lines, one of them damaged
curl localhost:8080/views/hourly/roof
vagus dead-letters list examples/sensors.py
"""

from datetime import UTC, datetime, timedelta

import vagus as vg


class Line(vg.Event):
    station: str
    text: str  # "roof 21.5"
    at: datetime


class Reading(vg.Event):
    sensor: str
    celsius: float
    at: datetime


app = vg.App("sensors", retry=vg.Retry(times=2))
lines = app.topic("line", Line, key="station", time="at")


def parse(line: Line) -> Reading | None:
    """The reading of a line, None for a comment. If it raises, three times, a dead letter."""
    if line.text.startswith("#"):
        return None
    sensor, celsius = line.text.split()
    return Reading(sensor=sensor, celsius=float(celsius), at=line.at)


readings = lines.map_events(parse).to("reading", Reading)

# One row an hour and sensor, given out once, ten minutes after the hour has ended.
hourly = (
    readings.window(vg.tumbling("1h", grace="10m", idle="1m"), by="sensor")
    .agg(
        emit="final",
        late_to="late-reading",
        mean=vg.mean("celsius"),
        coldest=vg.min("celsius"),
        warmest=vg.max("celsius"),
    )
    .to_table("hourly")
)


def day(start: datetime) -> list[Line]:
    """A reading every five minutes; then a comment, a damaged line, and one that is late."""
    regular = [
        Line(station="s1", text=f"roof {15 + step % 12}", at=start + timedelta(minutes=5 * step))
        for step in range(288)
    ]
    end = start + timedelta(hours=24)
    odd = [("# new battery", end), ("roof ??", end), ("roof 99", start)]
    return regular + [Line(station="s1", text=text, at=at) for text, at in odd]


if __name__ == "__main__":
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with vg.Client(app) as client:
        client.send(lines, day(midnight - timedelta(days=1)))
