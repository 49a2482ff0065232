"""``taskscope alerts``."""

import time
from datetime import datetime

import click

from taskscope.cli import client, output


@click.command()
@click.option("--firing", is_flag=True, help="Leave out pending ones.")
@client.server_option
@client.json_option
def alerts(server: str, *, firing: bool, as_json: bool) -> None:
    """List alerts, firing first. The exit code is 1 if one fires."""
    found = client.get(server, "/api/v1/alerts")["data"]["alerts"]
    found = [a for a in found if a["state"] == "firing" or not firing]
    if as_json:
        output.print_json(found)
    elif not found:
        click.echo("no alerts", err=True)
    else:
        rows = []
        for alert in sorted(found, key=lambda a: (a["state"] != "firing", a["activeAt"])):
            labels, since = alert["labels"], datetime.fromisoformat(alert["activeAt"]).timestamp()
            rows.append([
                labels["alertname"],
                output.coloured(alert["state"]),
                labels.get("severity", ""),
                labels.get("app") or labels.get("host") or labels.get("job", ""),
                labels.get("task_name", ""),
                output.age_text(time.time() - since),
                output.clean(alert["annotations"].get("summary", "")),
            ])  # fmt: skip
        header = ["ALERT", "STATE", "SEVERITY", "WHO", "TASK", "FOR", "SUMMARY"]
        output.table(header, rows, right=["FOR"], spare=["SEVERITY", "TASK"])
    if any(a["state"] == "firing" for a in found):
        raise SystemExit(1)
